"""Which objects of two schemas differ, by pg_dump's own text.

PostgreSQL prints some expressions differently once they were parsed from a dump. What an object that carries
expressions turned into is excused when the expected text turns into the same in a restore beside. Nothing
else is: that restore loses what any other loses.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.sources.postgres.archive.dump_sql import entries
from engine.sources.postgres.proof.grants import granted

_PRIVILEGES = ("ACL", "DEFAULT ACL")
_EXPRESSIONS = frozenset(
    {
        "CHECK CONSTRAINT",
        "CONSTRAINT",
        "DEFAULT",
        "DOMAIN",
        "FOREIGN TABLE",
        "FUNCTION",
        "INDEX",
        "MATERIALIZED VIEW",
        "POLICY",
        "PROCEDURE",
        "PUBLICATION TABLE",
        "RULE",
        "STATISTICS",
        "TABLE",
        "TABLE ATTACH",
        "TRIGGER",
        "VIEW",
    }
)
"""What carries expressions, in pg_dump's words."""
_SAME_WORDS = frozenset({*_PRIVILEGES, "COMMENT", "ROW SECURITY", "SECURITY LABEL"})
"""What pg_dump writes alike for every major; anything else another major may write in words of its own."""
_OF_ANOTHER = frozenset({"ACL", "COMMENT", "POLICY", "ROW SECURITY", "SECURITY LABEL"})
"""What has no owner of its own: named is that of an object, which has its own entry, or is an extension's and belongs
to whoever restores."""
_DUMPED_BY = re.compile(r"^-- Dumped by pg_dump version (\d+)", re.MULTILINE)
_Key = tuple[str, str]
"""An object's type and label."""
_Objects = Mapping[_Key, Counter[str]]
"""The texts under each key, mostly one."""


@dataclass(frozen=True, slots=True)
class Changed:
    """An object whose text is another; None where there is none."""

    label: str
    expected: str | None
    found: str | None


def changed_objects(expected: str, found: str, reprint: Callable[[str], str]) -> list[Changed]:
    """The objects that did not come back as they were, in the expected order.

    `reprint` turns a schema's SQL into how it prints after one restore; it is called only where it may excuse something.
    """
    before, after = _objects(expected), _objects(found)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    same_major = _DUMPED_BY.findall(expected)[:1] == _DUMPED_BY.findall(found)[:1]
    excusable = {key for key in changed if _excusable(key, before, after, same_major=same_major)}
    again = _objects(reprint(expected)) if excusable else {}
    return [
        Changed(key[1], _first(before, after, key), _first(after, before, key))
        for key in changed
        if key not in excusable or again.get(key) != after.get(key)
    ]


def _objects(sql: str) -> _Objects:
    objects: dict[_Key, Counter[str]] = defaultdict(Counter)
    for entry in entries(sql):
        text = granted(entry.text) if entry.type in _PRIVILEGES else entry.text
        label = entry.label if entry.type in _OF_ANOTHER else f"{entry.label} owner {entry.owner}"
        objects[entry.type, label][text] += 1
    return dict(objects)


def _excusable(key: _Key, before: _Objects, after: _Objects, *, same_major: bool) -> bool:
    """Whether a correct restore may print this object otherwise."""
    if not same_major:
        return key[0] not in _SAME_WORDS
    return key[0] in _EXPRESSIONS and key in before and key in after


def _first(objects: _Objects, others: _Objects, key: _Key) -> str | None:
    """A text of this object that the others have not."""
    return next(iter(objects.get(key, Counter()) - others.get(key, Counter())), None)
