"""Indexes of columns alone, told by their SQL: they need no other table, so they can be built before all rows are in.

An index on an expression may call a function that reads any table; so may a condition, a collation or an
operator class of one's own. The SQL is pg_dump's (dumpIndex and dumpConstraint in pg_dump.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = rb'(?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")'
_COLUMN = rb"%s(?: DESC)?(?: NULLS (?:FIRST|LAST))?" % _NAME
_COLUMNS = rb"\(%s(?:, %s)*\)(?: INCLUDE \(%s(?:, %s)*\))?" % (_COLUMN, _COLUMN, _NAME, _NAME)
_TABLE = rb"(?P<table>%s\.%s)" % (_NAME, _NAME)
_INDEX = re.compile(rb"CREATE (?:UNIQUE )?INDEX %s ON %s USING btree %s;\n" % (_NAME, _TABLE, _COLUMNS))
_KEY = re.compile(
    rb"ALTER TABLE ONLY %s\n    ADD CONSTRAINT %s (?:PRIMARY KEY|UNIQUE) %s;\n" % (_TABLE, _NAME, _COLUMNS)
)


@dataclass(frozen=True, slots=True)
class PlainIndex:
    """An entry of an archive's table of contents. `table` is SQL; `alone`: nothing else may be done to it meanwhile."""

    dump_id: int
    table: bytes
    statement: bytes
    alone: bool


def plain_index(dump_id: int, statement: bytes) -> PlainIndex | None:
    """The index or key that `statement` makes; None when it is anything else, or more than that."""
    if found := _INDEX.fullmatch(statement):
        return PlainIndex(dump_id, found["table"], statement, alone=False)
    if found := _KEY.fullmatch(statement):
        return PlainIndex(dump_id, found["table"], statement, alone=True)
    return None
