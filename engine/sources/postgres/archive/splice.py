"""Compose a database's archive from its own SQL, so that each row is compressed once for both sets.

pg_dump's custom archive and the plain SQL hold the same COPY text, each with something else around
it. gzip members can be concatenated: a piece of rows is packed once, as a member of its own, and
goes into both files. The rest (the archive's head and lengths, the SQL's statements) is packed for
the one file it belongs to. Stock gunzip, psql and pg_restore see nothing unusual.

The SQL is pg_restore's, byte for byte. The archive is pg_dump's but for the lengths of the pieces
that the rows come in. Whatever is not exactly as expected raises `Doubt`: then the database is
dumped again, and both are packed as they come.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import IO

from engine.sources.postgres.archive.sql_scanner import Doubt, Scanner
from engine.sources.postgres.archive.toc import DATA_MARK, DataEntry, DataPlan, number
from engine.streams.pack import CHUNK, member
from engine.streams.pipes import write_all

_MARK = b"\n" + DATA_MARK
_HEADER_END = b"--\n\n"
_END_OF_ROWS = b"\n\\.\n\n\n"
_SHARED_BYTES = 1 << 14
"""Rows fewer than these are packed with what is around them: a small member of its own packs badly."""
_OPEN = re.compile(rb"SELECT pg_catalog\.lo_open\('(\d+)', \d+\);\n")
_WRITE = re.compile(rb"SELECT pg_catalog\.lowrite\(0, '\\{1,2}x([0-9a-f]*)'\);\n")
_CLOSE = b"SELECT pg_catalog.lo_close(0);\n"
_COMMIT = b"COMMIT;\n"


@dataclass
class Composed:
    """What went into the archive: its bytes before packing, and the rows of each table (schema, name)."""

    archive_bytes: int = 0
    rows: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    whole: bool = False
    """Set when both files are written, before they are closed: who reads them then knows they are whole."""


def compose(
    plan: DataPlan, preamble: bytes, sql: IO[bytes], dump: IO[bytes], text: IO[bytes], composed: Composed
) -> None:
    """Write the packed archive to `dump`, the packed SQL after `preamble` to `text`; close both.

    `sql` is what pg_restore prints of the archive. `composed` is filled.

    Raises:
        Doubt: that SQL is not what the archive's table of contents says.
        BrokenPipeError: it ends too early, or a reader went away.
    """
    work = _Composer(plan, Scanner(sql), _Members(dump), _Members(text), composed)
    try:
        work.run(preamble)
        composed.whole = True
    finally:
        for sink in (dump, text):
            with contextlib.suppress(BrokenPipeError):
                sink.close()


class _Members:
    """A file of gzip members. Small pieces are gathered; what is packed already goes in as it is."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self._gathered = bytearray()

    def write(self, data: bytes) -> None:
        self._gathered += data
        if len(self._gathered) >= CHUNK:
            self.flush()

    def add(self, packed: bytes) -> None:
        self.flush()
        write_all(self._sink, packed)

    def flush(self) -> None:
        if self._gathered:
            write_all(self._sink, member(self._gathered))
            self._gathered.clear()


class _Composer:
    def __init__(self, plan: DataPlan, scanner: Scanner, dump: _Members, text: _Members, composed: Composed) -> None:
        self._plan = plan
        self._scanner = scanner
        self._dump = dump
        self._text = text
        self._composed = composed

    def run(self, preamble: bytes) -> None:
        self._archive(self._plan.head)
        self._text.write(preamble)
        for entry in self._plan.entries:
            self._up_to_data()
            self._archive(self._plan.block(entry))
            if entry.copy:
                self._rows(entry)
            else:
                self._large_objects()
            self._archive(number(0))
        for piece in self._scanner.rest():
            self._text.write(piece)
        self._dump.flush()
        self._text.flush()

    def _archive(self, data: bytes) -> None:
        self._composed.archive_bytes += len(data)
        self._dump.write(data)

    def _up_to_data(self) -> None:
        for piece in self._scanner.until(_MARK):
            self._text.write(piece)
        self._text.write(self._scanner.line())
        self._text.write(self._scanner.take(_HEADER_END))

    def _rows(self, entry: DataEntry) -> None:
        """One table: its COPY statement goes to the SQL, its rows and their end to both."""
        # The statement's last byte stays: a table without rows ends with the very next ones.
        self._text.write(self._scanner.take(entry.copy[:-1]))
        own, lines = 1, 0
        for piece in self._scanner.until(_END_OF_ROWS):
            self._text.write(piece[:own])
            self._both(piece[own:])
            lines += piece.count(b"\n")
            own = 0
        table = (entry.schema, entry.name)
        self._composed.rows[table] = self._composed.rows.get(table, 0) + lines - _END_OF_ROWS.count(b"\n")

    def _both(self, rows: bytes) -> None:
        if not rows:
            return
        self._archive(number(len(rows)))
        if len(rows) < _SHARED_BYTES:
            self._archive(rows)
            self._text.write(rows)
            return
        packed = member(rows)
        self._composed.archive_bytes += len(rows)
        self._dump.add(packed)
        self._text.add(packed)

    def _large_objects(self) -> None:
        """One transaction of the SQL; the archive has the same bytes without the hexadecimal digits."""
        self._text.write(self._scanner.take(b"BEGIN;\n\n"))
        while (line := self._scanner.line()) != _COMMIT:
            self._text.write(line)
            if found := _OPEN.fullmatch(line):
                self._archive(number(int(found[1])))
            elif found := _WRITE.fullmatch(line):
                data = bytes.fromhex(found[1].decode())
                self._archive(number(len(data)) + data)
            elif line == _CLOSE:
                self._archive(number(0))
            elif line != b"\n":
                raise Doubt("The dump's SQL of large objects is not as expected.")
        self._text.write(line)
