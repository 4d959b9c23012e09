"""What pg_dump's SQL text says: the objects of a schema one by one, and the values of sequences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.sources.postgres.archive.names import plain_name

_HEADER = re.compile(
    r"^--\n-- (?:Data for )?Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); Schema: (?P<schema>.*); Owner: (?P<owner>.*)\n--\n",
    re.MULTILINE,
)
_ACCESS_METHOD = re.compile(r"^SET default_table_access_method = (.*);$", re.MULTILINE)
_SET_BETWEEN = re.compile(r"^SET default_(?:tablespace|table_access_method) = .*;$")
_COMPLETE = "\n--\n-- PostgreSQL database dump complete\n--\n"
_SETVAL = re.compile(
    r"^SELECT pg_catalog\.setval\((?P<escaped>E?)'(?P<name>(?:[^']|'')*)', (?P<value>-?\d+), (?P<called>true|false)\);$",
    re.MULTILINE,
)
_NAME_PART = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of the schema as pg_dump writes it: `type` is pg_dump's word for what it is, `label` that word
    and its schema and name."""

    type: str
    label: str
    schema: str
    owner: str
    text: str


def entries(sql: str) -> Iterator[Entry]:
    """The objects in pg_dump's SQL text, in its order; session settings before the first are dropped.

    Comments and blank lines inside an object are part of it: a function's body is text.
    """
    complete = sql.rfind(_COMPLETE)
    sql = sql if complete < 0 else sql[:complete]
    found = list(_HEADER.finditer(sql))
    starts = [match.start() for match in found]
    between, method = sql[: starts[0]] if found else "", ""
    for match, end in zip(found, [*starts[1:], len(sql)], strict=False):
        # Said once, before the first table whose method is another than that of the one before.
        method = next(reversed(_ACCESS_METHOD.findall(between)), method)
        text, between = _divided(sql[match.end() : end])
        if match["type"] in ("TABLE", "FOREIGN TABLE", "MATERIALIZED VIEW"):
            text = _of_table(text, method)
        label = f"{match['type']} {match['schema']} {match['name']}"
        yield Entry(match["type"], label, match["schema"], match["owner"], text)


def _divided(text: str) -> tuple[str, str]:
    """An object's own SQL, and what pg_dump sets for the next one."""
    lines = text.strip("\n").split("\n")
    end = len(lines)
    while end and (not lines[end - 1] or _SET_BETWEEN.match(lines[end - 1])):
        end -= 1
    return "\n".join(lines[:end]), "\n".join(lines[end:])


def _of_table(text: str, method: str) -> str:
    lines = text.split("\n")
    if any(line.startswith("INHERITS (") for line in lines):
        # Columns that a child shares with its parents come back in the parents' order.
        lines = sorted(line.rstrip(",") for line in lines)
    return "\n".join([*lines, f"-- access method {method}"])


def sequence_values(sql: str) -> dict[str, tuple[int, bool]]:
    """The value that each sequence gets in this text, and whether it was called."""
    return {_sequence(found): (int(found["value"]), found["called"] == "true") for found in _SETVAL.finditer(sql)}


def _sequence(found: re.Match[str]) -> str:
    literal = found["name"].replace("''", "'")
    name = literal.replace("\\\\", "\\") if found["escaped"] else literal
    parts = [plain or quoted.replace('""', '"') for quoted, plain in _NAME_PART.findall(name)]
    return plain_name(*parts)
