"""The binary table of contents of a custom archive, as far as it says where the data is.

Written from pg_backup_archiver.c (WriteHead, WriteToc): `pg_restore --list` does not tell the COPY
statements. Only the versions named here are read; of any other nothing is said.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from engine.sources.postgres.archive.plain_index import PlainIndex, plain_index

DATA_MARK = b"-- Data for Name: "
"""With this pg_restore starts each part of the data in its SQL, and nothing else."""

NUMBER = struct.Struct("<?I")
"""How an archive writes a number: whether it is negative, and its value."""

ROWS, LARGE_OBJECTS = 1, 3
"""What a block of data may be."""

_VERSIONS = ((1, 12), (1, 16))  # PostgreSQL 9.x to 18
_MAGIC = b"PGDMP"
_CUSTOM = 1
_INDEXES = (b"INDEX", b"CONSTRAINT")


@dataclass(frozen=True, slots=True)
class DataEntry:
    """One part of an archive's data: a table's rows, or large objects (`copy` is empty then).

    `copy` is what the SQL has between the part's heading and its rows: a comment perhaps, and the COPY statement.
    """

    dump_id: int
    copy: bytes
    schema: bytes
    name: bytes


@dataclass(frozen=True, slots=True)
class DataPlan:
    """What of an archive is before its data (`head`), which data follows, in order, and the indexes to build early.

    `only_sorts`: all its indexes are made by sorting the rows of tables.
    """

    head: bytes
    entries: tuple[DataEntry, ...]
    indexes: tuple[PlainIndex, ...] = ()
    only_sorts: bool = False

    def block(self, entry: DataEntry) -> bytes:
        """What starts an entry's data."""
        return bytes((ROWS if entry.copy else LARGE_OBJECTS,)) + number(entry.dump_id)


def number(value: int) -> bytes:
    """A number as the archive writes it; a piece of data starts with its length, 0 ends an entry."""
    return NUMBER.pack(False, value)


class _UnknownError(Exception):
    """This archive is not one of those that are understood here."""


def data_plan(archive: bytes) -> DataPlan | None:
    """The plan of an uncompressed archive that starts with these bytes; None when it cannot be told for certain."""
    reader = _Reader(archive)
    try:
        version = reader.head()
        entries = [reader.entry(version) for _ in range(reader.integer())]
    except (_UnknownError, EOFError):
        return None
    head = archive[: reader.position]
    if DATA_MARK in head:
        return None  # a function's body, a comment: it could pass for data in the SQL
    indexes = tuple(entry.index for entry in entries if entry.index)
    # It may be a type's default, which no index names, and its functions may read any table.
    has_own_order = any(entry.kind == b"OPERATOR CLASS" for entry in entries)
    return DataPlan(
        head,
        tuple(entry.data for entry in entries if entry.data),
        () if has_own_order else indexes,
        all(entry.only_sorts for entry in entries),
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of the table of contents."""

    kind: bytes
    statement: bytes
    data: DataEntry | None
    index: PlainIndex | None

    @property
    def only_sorts(self) -> bool:
        if self.kind == b"INDEX":
            return b" USING btree (" in self.statement
        return self.kind != b"MATERIALIZED VIEW" and b" EXCLUDE USING " not in self.statement


class _Reader:
    def __init__(self, archive: bytes) -> None:
        self._source = io.BytesIO(archive)
        self._offset_bytes = 8

    @property
    def position(self) -> int:
        return self._source.tell()

    def take(self, count: int) -> bytes:
        found = self._source.read(count)
        if len(found) != count:
            raise EOFError
        return found

    def integer(self) -> int:
        negative, value = NUMBER.unpack(self.take(NUMBER.size))
        return -int(value) if negative else int(value)

    def text(self) -> bytes | None:
        length = self.integer()
        return None if length < 0 else self.take(length)

    def head(self) -> tuple[int, int]:
        """The format's version."""
        if self.take(5) != _MAGIC:
            raise _UnknownError
        major, minor, _, integer_bytes, self._offset_bytes, kind = self.take(6)
        version = (major, minor)
        if not _VERSIONS[0] <= version <= _VERSIONS[1] or (1 + integer_bytes, kind) != (NUMBER.size, _CUSTOM):
            raise _UnknownError
        compression = self.take(1)[0] if version >= (1, 15) else self.integer()
        if compression:
            raise _UnknownError
        for _ in range(7):  # the time it was made
            self.integer()
        for _ in range(3):  # its database and two versions
            self.text()
        return version

    def entry(self, version: tuple[int, int]) -> _Entry:
        dump_id, has_data = self.integer(), self.integer()
        _, _, name, kind = (self.text() or b"" for _ in range(4))  # after two oids
        self.integer()  # the section
        statement, _, copy, schema = (self.text() or b"" for _ in range(4))  # the second: what drops it
        self.text()  # the tablespace
        if version >= (1, 14):
            self.text()  # the access method
        if version >= (1, 16):
            self.integer()  # the kind of relation
        self.text()  # the owner
        self.text()  # whether it has oids
        for _ in iter(self.text, None):
            pass  # what it depends on
        self.take(1 + self._offset_bytes)
        data = _data(dump_id, kind, statement, copy, schema, name) if has_data else None
        index = plain_index(dump_id, statement) if kind in _INDEXES else None
        return _Entry(kind, statement, data, index)


def _data(dump_id: int, kind: bytes, statement: bytes, copy: bytes, schema: bytes, name: bytes) -> DataEntry:
    is_rows = copy.startswith(b"COPY ") and copy.endswith(b" FROM stdin;\n")
    if (kind == b"TABLE DATA" and is_rows) or (kind == b"BLOBS" and not copy + statement):
        before = statement + b"\n\n" if statement else b""
        return DataEntry(dump_id, before + copy, schema, name)
    raise _UnknownError
