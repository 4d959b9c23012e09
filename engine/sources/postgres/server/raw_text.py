"""Text of a server that may be none: names in shared catalogs, and all there is in a database without an encoding.

Names of roles and databases are bytes, in the encoding of whichever database wrote them. A session of a database with
another encoding would convert them into other names, or refuse to. So they are read as they are (client_encoding
SQL_ASCII converts nothing); what is no UTF-8 is kept byte by byte in characters of private use, which JSON takes, and
from which the same bytes come back.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.rows import TupleRow

RAW = "SQL_ASCII"
_WITHOUT_CONVERSION = ("SQL_ASCII", "MULE_INTERNAL")
"""Encodings of a database whose text cannot be sent as UTF-8."""
_ERRORS, _FIRST = "platform-ops-bytes", 0x10FE00
_KEPT = re.compile(rb"\xf4\x8f[\xb8-\xbb][\x80-\xbf]")
_SHARED = """
SELECT rolname FROM pg_catalog.pg_roles UNION ALL SELECT datname FROM pg_catalog.pg_database
UNION ALL SELECT spcname FROM pg_catalog.pg_tablespace
UNION ALL SELECT description FROM pg_catalog.pg_shdescription
UNION ALL SELECT pg_catalog.array_to_string(setconfig, ' ') FROM pg_catalog.pg_db_role_setting
"""


def _keep(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_FIRST + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _keep)


def to_text(data: bytes) -> str:
    """These bytes as text; those that are no UTF-8 as characters of private use."""
    return data.decode("utf8", _ERRORS)


def to_bytes(text: str) -> bytes:
    """What `to_text` was given."""
    return _KEPT.sub(lambda found: bytes([ord(found[0].decode()) - _FIRST]), text.encode())


def is_utf8(text: str) -> bool:
    """Whether a text of `to_text` was given as UTF-8."""
    return not _KEPT.search(text.encode())


class _AnyText(Loader):
    def load(self, data: Buffer) -> str:
        return to_text(bytes(data))


def take_any_text(connection: psycopg.Connection[TupleRow]) -> None:
    """Let this session's text be whatever it is."""
    for name in ("text", "name", "varchar", "bpchar", '"char"'):
        connection.adapters.register_loader(name, _AnyText)
    connection.adapters.register_loader(0, _AnyText)  # of whatever type that has no loader of its own


def run(connection: psycopg.Connection[TupleRow], query: sql.Composable) -> psycopg.Cursor[TupleRow]:
    """Run what was composed of names that this session has told, in whatever encoding it is."""
    return connection.execute(to_bytes(query.as_string(None)))


@contextmanager
def unconverted(connection: psycopg.Connection[TupleRow]) -> Iterator[None]:
    """For a block that reads shared catalogs through a session of whatever database."""
    take_any_text(connection)
    before = connection.info.parameter_status("client_encoding")
    connection.execute(f"SET client_encoding = '{RAW}'".encode())
    yield
    connection.execute(f"SET client_encoding = '{before}'".encode())


def client_encoding(connection: psycopg.Connection[TupleRow]) -> str:
    """In what to read the database of this session, for people and for other servers: UTF8, where that changes no name.

    Otherwise RAW: no program converts anything then, as pg_dump does by default, which takes the database's own encoding.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding == "UTF8":
        return "UTF8"
    if encoding in _WITHOUT_CONVERSION:
        return RAW
    with unconverted(connection):
        names = [row[0] for row in connection.execute(_SHARED)]
    return "UTF8" if all(name.isascii() for name in names) else RAW
