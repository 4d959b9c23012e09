"""The head of a custom archive: its table of contents, read with stock tools while it streams.

`pg_dump -Fc` writes the table of contents first, with every statement that is not table data. The
head is kept until `pg_restore --list` has read enough; from it come the preamble of the plain SQL
file, the schema for the proof, and the sequence values as they are in this very dump.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine.errors import OperationFailed
from engine.hosts.machine import in_time
from engine.postgres import commands
from engine.postgres.proof import plain_name
from engine.postgres.table_data import settings_of
from engine.postgres.toc import DataPlan, data_plan
from engine.streams.pipeline import Patient, Process, pieces_of, tool_environment, write_all

_HEAD_PIECE = 1 << 16
_TOOL_SECONDS = 600
STALL_SECONDS = 3600.0
"""A large catalogue may keep pg_dump busy for long before its first byte."""
_ENTRY = re.compile(rb"^(\d+); (\d+) (\d+) (.*)$")
_HEADER = re.compile(
    r"^--\n-- (?:Data for )?Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); Schema: (?P<schema>.*); Owner: (?P<owner>.*)\n--\n",
    re.MULTILINE,
)
_ROWS = b"TABLE DATA "
_DATA = (
    _ROWS,
    b"BLOBS ",
    b"BLOB DATA ",
    b"MATERIALIZED VIEW DATA ",
    b"LARGE OBJECTS ",
    b"STATISTICS DATA ",
    b"SEQUENCE SET ",
    b"COMMENT - LARGE OBJECT",
    b"ACL - LARGE OBJECT",
    b"SECURITY LABEL - LARGE OBJECT",
)
"""Entries of no catalogue (its oid is 0): without it, a table in a schema DATA looks like one."""
_OF_LARGE_OBJECTS = (b"BLOB ", b"BLOB METADATA ")
_DATABASE = b"DATABASE - "
_CREATE_DATABASE = re.compile(rb"^CREATE DATABASE (postgres|template1) WITH .*;$", re.MULTILINE)
_OF_DATABASE = (
    _DATABASE,
    b"DATABASE PROPERTIES ",
    b"ACL - DATABASE ",
    b"COMMENT - DATABASE ",
    b"SECURITY LABEL - DATABASE ",
)
_CONNECT = re.compile(rb"^\\connect .*\n", re.MULTILINE)
_SETVAL = re.compile(
    r"^SELECT pg_catalog\.setval\((?P<escaped>E?)'(?P<name>(?:[^']|'')*)', (?P<value>-?\d+), (?P<called>true|false)\);$",
    re.MULTILINE,
)
_NAME_PART = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')
_ACCESS_METHOD = re.compile(r"^SET default_table_access_method = (.*);$", re.MULTILINE)
_SET_BETWEEN = re.compile(r"^SET default_(?:tablespace|table_access_method) = .*;$")
_COMPLETE = "\n--\n-- PostgreSQL database dump complete\n--\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of the schema as pg_dump writes it: `type` is pg_dump's word for what it is, `label` that word
    and its schema and name."""

    type: str
    label: str
    owner: str
    text: str


@dataclass(frozen=True, slots=True)
class Head:
    """The start of an archive on disk (it may hold some data too) and its table of contents."""

    path: Path
    contents: tuple[bytes, ...]
    programs: Path

    def preamble(self, *, create: bool, settings: bytes) -> bytes:
        """CREATE DATABASE (when `create`), `\\connect`, the database's settings and privileges.

        `settings` is SQL that is run in each session, before anything else.

        Raises:
            OperationFailed: the archive does not say how to create its database.
        """
        wanted = [line for line in self.contents if _kind(line).startswith(_OF_DATABASE)]
        if create and not any(_kind(line).startswith(_DATABASE) for line in wanted):
            raise OperationFailed(
                "The dump does not say how to create its database; it would restore elsewhere."
            )
        text = self._text(wanted, create=True) if wanted else b""
        if not create:
            text = _CREATE_DATABASE.sub(b"", text, count=1)
        return settings + _CONNECT.sub(lambda found: found[0] + settings, text) + settings

    def schema(self) -> str:
        """The SQL of everything but data, without what belongs to the database itself."""
        wanted = [line for line in self.contents if not _is_data(line)]
        return self._text(wanted, create=False).decode("utf8", "backslashreplace")

    def sequences(self) -> dict[str, tuple[int, bool]]:
        """The value each sequence has in this dump, and whether it was called."""
        wanted = [line for line in self.contents if _kind(line).startswith(b"SEQUENCE SET ")]
        text = self._text(wanted, create=False).decode("utf8", "backslashreplace") if wanted else ""
        return {
            _sequence(found): (int(found["value"]), found["called"] == "true")
            for found in _SETVAL.finditer(text)
        }

    def data_plan(self) -> DataPlan | None:
        """Which data follows; None when that cannot be told for certain."""
        return data_plan(self.path.read_bytes())

    def settings(self) -> bytes:
        """The SQL that every part of this archive is restored under."""
        return settings_of(self._text((), create=False))

    def lines_of_rows(self) -> tuple[bytes, ...]:
        """The lines of the table of contents that stand for tables' rows."""
        return tuple(line for line in self.contents if _is_data(line) and _kind(line).startswith(_ROWS))

    def lines_of_other_data(self) -> tuple[bytes, ...]:
        """Those of the section of data that stand for anything else: sequences' values, large objects."""
        passed_over = (_ROWS, b"MATERIALIZED VIEW DATA ")
        return tuple(
            line for line in self.contents if _is_data(line) and not _kind(line).startswith(passed_over)
        )

    @property
    def has_large_objects(self) -> bool:
        return any(_is_data(line) and _kind(line).startswith(b"BLOB") for line in self.contents)

    def _text(self, entries: Iterable[bytes], *, create: bool) -> bytes:
        with tempfile.NamedTemporaryFile(dir=self.path.parent, suffix=".list") as listing:
            listing.write(b"\n".join(entries) + b"\n")
            listing.flush()
            argv = commands.archive_text_argv(
                self.programs, archive=self.path, use_list=Path(listing.name), create=create
            )
            with in_time():
                done = subprocess.run(
                    argv, capture_output=True, env=tool_environment(), timeout=_TOOL_SECONDS, check=False
                )
        if done.returncode:
            raise OperationFailed(
                f"pg_restore cannot read the dump's contents: {done.stderr.decode()[-300:]}"
            )
        return done.stdout


def _sequence(found: re.Match[str]) -> str:
    literal = found["name"].replace("''", "'")
    name = literal.replace("\\\\", "\\") if found["escaped"] else literal
    parts = [plain or quoted.replace('""', '"') for quoted, plain in _NAME_PART.findall(name)]
    return plain_name(*parts)


def _is_data(line: bytes) -> bool:
    found = _ENTRY.match(line)
    if found is None:
        return False
    return found[4].startswith(_DATA if found[2] == b"0" else _OF_LARGE_OBJECTS)


def _kind(line: bytes) -> bytes:
    found = _ENTRY.match(line)
    return found[4] if found else b""


def head_of(dump: Process, folder: Path, programs: Path, stall_seconds: float = STALL_SECONDS) -> Head:
    """The head of what a running pg_dump writes, kept in `folder`; when there is none, pg_dump says why.

    Raises:
        PlatformOpsError: pg_dump failed, or wrote no archive.
    """
    try:
        return read_head(Patient(dump, stall_seconds), folder / "head", programs)
    except OperationFailed:
        with in_time():
            code = dump.popen.wait(_TOOL_SECONDS)
        if code:
            raise dump.failure() from None
        raise


def read_head(source: Patient, path: Path, programs: Path) -> Head:
    """Copy the archive's start from `source` to `path`, until its whole table of contents is there.

    Raises:
        OperationFailed: what comes is not an archive.
    """
    with path.open("xb") as spool:
        path.chmod(0o600)
        listed = subprocess.Popen(
            commands.archive_list_argv(programs),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=tool_environment(),
            bufsize=0,
        )
        with listed:
            assert listed.stdin is not None and listed.stdout is not None  # noqa: S101 - asked for
            contents = _feed(source, spool, listed)
            stderr = listed.stderr.read() if listed.stderr else b""
    if listed.returncode:
        raise OperationFailed(f"pg_dump wrote no readable archive: {stderr.decode('utf8', 'replace')[-300:]}")
    return Head(path, tuple(line for line in contents.splitlines() if _ENTRY.match(line)), programs)


def _feed(source: Patient, spool: IO[bytes], listed: subprocess.Popen[bytes]) -> bytes:
    """Give pg_restore --list the bytes until it has enough; what it printed."""
    output: list[bytes] = []
    assert listed.stdout is not None and listed.stdin is not None  # noqa: S101 - asked for
    stdout = listed.stdout
    reader = threading.Thread(target=lambda: output.extend(pieces_of(stdout)), daemon=True)
    reader.start()
    try:
        for piece in pieces_of(source, _HEAD_PIECE):
            spool.write(piece)
            write_all(listed.stdin, piece)
    except BrokenPipeError:
        pass  # it has read the whole table of contents
    finally:
        listed.stdin.close()
    reader.join()
    return b"".join(output)


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
        yield Entry(match["type"], label, match["owner"], text)


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
