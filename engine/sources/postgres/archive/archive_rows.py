"""The rows of an uncompressed archive, taken out of it as it streams, for several sessions to load at once.

What an archive's data looks like is in pg_backup_custom.c: blocks, each with a type, the entry it
belongs to, and pieces that start with their length, of pg_dump's own one for each row. A table's
rows end with COPY's own end of data.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.sources.postgres.archive.table_data import Rows, TableCopy, copy_of
from engine.sources.postgres.archive.toc import LARGE_OBJECTS, NUMBER, ROWS, DataPlan
from engine.streams.pack import CHUNK

_END = b"\\.\n\n\n"


def rows_of_archive(pieces: Iterator[bytes], plan: DataPlan, settings: bytes) -> Iterator[Rows]:
    """The rows in an archive that comes in `pieces`, from its start; they are read to their end.

    Raises:
        BrokenPipeError: the archive ends too early, or is not what its table of contents says.
    """
    archive = _Archive(pieces)
    archive.take(len(plan.head))
    copies = {entry.dump_id: copy_of(entry.copy, settings) for entry in plan.entries}
    for _ in plan.entries:
        kind, found = archive.take(1)[0], copies.get(archive.number())
        if kind == ROWS and found is not None:
            yield from _rows(found.copy, archive.data())
        elif kind == LARGE_OBJECTS:
            archive.pass_over_large_objects()
        else:
            raise BrokenPipeError("the archive's data is not what its table of contents says")
    for _ in pieces:
        pass


def _rows(copy: TableCopy, parts: Iterator[bytes]) -> Iterator[Rows]:
    """The rows without the end of data; of a row that is long, what has come of it."""
    held = b""
    for part in parts:
        held += part
        whole = max(0, len(held) - len(_END))
        cut = held.rfind(b"\n", 0, whole) + 1 or (whole if whole > CHUNK else 0)
        if cut:
            yield Rows(copy, held[:cut], not held.endswith(b"\n", 0, cut))
            held = held[cut:]
    rest = held.removesuffix(_END)
    if rest == held:
        raise BrokenPipeError(f"the rows of {copy.table.decode('utf8', 'replace')} end too early")
    if rest:
        yield Rows(copy, rest)


class _Archive:
    """Reads what comes in pieces of any length."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        while len(self._held) - self._at < count:
            self._read_on()
        self._at += count
        return self._held[self._at - count : self._at]

    def number(self) -> int:
        return int(NUMBER.unpack(self.take(NUMBER.size))[1])

    def data(self) -> Iterator[bytes]:
        """One entry's data, as much at once as has come."""
        left, ended = 0, False
        while True:
            parts, left, ended = self._parts(left)
            if parts:
                yield b"".join(parts)
            if ended:
                return
            self._read_on()

    def _parts(self, left: int) -> tuple[list[bytes], int, bool]:
        """What is held of an entry's data, how much the last piece lacks, and whether the entry has ended."""
        held, at, unpack, size = self._held, self._at, NUMBER.unpack_from, NUMBER.size
        last, parts = len(held) - size, []
        if left:
            parts.append(held[at : at + left])
            at, left = min(at + left, len(held)), max(0, at + left - len(held))
        ended = False
        while not left and at <= last and not ended:  # once for each row
            _, length = unpack(held, at)
            start = at + size
            at = start + length
            ended = not length
            parts.append(held[start:at])
            if at > len(held):
                at, left = len(held), at - len(held)
        self._at = at
        return parts, left, ended

    def pass_over_large_objects(self) -> None:
        while self.number():
            for _ in self.data():
                pass

    def _read_on(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise BrokenPipeError("the archive ends too early")
        self._held = self._held[self._at :] + piece
        self._at = 0
