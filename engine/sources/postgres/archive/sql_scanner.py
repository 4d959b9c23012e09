"""Reads the SQL of a dump as it streams, up to marks that the archive's table of contents lets expect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from engine.errors import OperationFailed
from engine.streams.pack import CHUNK


class Doubt(OperationFailed):
    """The SQL is not what the archive's table of contents lets expect."""


class Scanner:
    """Reads a stream up to given marks."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._held = b""
        self._at = 0

    def until(self, mark: bytes) -> Iterator[bytes]:
        """What comes up to the next `mark` and the mark itself, in pieces; the last one holds the mark's end."""
        wanted = re.compile(re.escape(mark))  # faster than bytes.find, where the first byte is a frequent one
        while (found := wanted.search(self._held, self._at)) is None:
            kept = max(self._at, len(self._held) - len(mark) + 1)
            if kept > self._at:
                yield self._held[self._at : kept]
            self._read_on(kept)
        yield self._held[self._at : found.end()]
        self._at = found.end()

    def take(self, expected: bytes) -> bytes:
        """The next bytes, which must be these."""
        while len(self._held) - self._at < len(expected):
            self._read_on(self._at)
        if not self._held.startswith(expected, self._at):
            raise Doubt("The dump's SQL is not as its table of contents says.")
        self._at += len(expected)
        return expected

    def line(self) -> bytes:
        return b"".join(self.until(b"\n"))

    def rest(self) -> Iterator[bytes]:
        yield self._held[self._at :]
        while piece := self._source.read(CHUNK):
            yield piece

    def _read_on(self, kept: int) -> None:
        """Hold what is left and as much again as makes a large piece."""
        pieces = [self._held[kept:]]
        wanted = CHUNK
        while wanted > 0 and (piece := self._source.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        if len(pieces) == 1:
            raise BrokenPipeError  # its writer failed, and tells why
        self._held, self._at = b"".join(pieces), 0
