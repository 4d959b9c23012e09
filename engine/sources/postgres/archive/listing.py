"""The lines of `pg_restore --list`: what each stands for."""

from __future__ import annotations

import re

ENTRY = re.compile(rb"^(\d+); (\d+) (\d+) (.*)$")
ROWS = b"TABLE DATA "
_DATA = (
    ROWS,
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
DATABASE = b"DATABASE - "
SCHEMA = b"SCHEMA - "
PRIVILEGES = (b"ACL ", b"DEFAULT ACL ")
OF_DATABASE = (
    DATABASE,
    b"DATABASE PROPERTIES ",
    b"ACL - DATABASE ",
    b"COMMENT - DATABASE ",
    b"SECURITY LABEL - DATABASE ",
)


def is_data(line: bytes) -> bool:
    found = ENTRY.match(line)
    if found is None:
        return False
    return found[4].startswith(_DATA if found[2] == b"0" else _OF_LARGE_OBJECTS)


def kind(line: bytes) -> bytes:
    found = ENTRY.match(line)
    return found[4] if found else b""
