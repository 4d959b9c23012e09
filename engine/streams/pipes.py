"""Bytes from one end to another: read in pieces, written whole, counted."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol, runtime_checkable

from engine.streams.pack import CHUNK

_GATHER_SECONDS = 0.001


@dataclass(slots=True)
class Meter:
    """Bytes that have passed, and when the last of them did (monotonic seconds)."""

    bytes: int = 0
    last: float = field(default_factory=time.monotonic)

    def add(self, count: int) -> None:
        self.bytes += count
        self.last = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - self.last


@runtime_checkable
class Abandonable(Protocol):
    """The input of a program on a host: the program is ended, where closing would say that all has come."""

    def abandon(self) -> None: ...


def pump(pieces: Iterable[bytes], sinks: Sequence[IO[bytes]], meter: Meter | None = None) -> None:
    """Write each piece to every sink, then close them. What breaks off is not whole: a host's input is told so."""
    whole = False
    try:
        for piece in pieces:
            for sink in sinks:
                write_all(sink, piece)
            if meter is not None:
                meter.add(len(piece))
        whole = True
    finally:
        for sink in sinks:
            with contextlib.suppress(BrokenPipeError):
                if not whole and isinstance(sink, Abandonable):
                    sink.abandon()
                else:
                    sink.close()


def pass_on(source: IO[bytes], sink: IO[bytes], meter: Meter) -> None:
    """All of `source` to `sink`, without copying where both are pipes of this machine."""
    try:
        while count := os.splice(source.fileno(), sink.fileno(), CHUNK):
            meter.add(count)
            if count < CHUNK // 8:
                time.sleep(_GATHER_SECONDS)
        return
    except BrokenPipeError:
        if source.read(1):
            raise
        return  # its reader had all of it and left before this end did
    except (OSError, AttributeError, ValueError):
        pass  # no two pipes: nothing was taken from `source`
    for piece in pieces_of(source):
        write_all(sink, piece)
        meter.add(len(piece))


def write_all(sink: IO[bytes], data: bytes) -> None:
    """Write all of `data` to an unbuffered pipe (one write may take only part of it)."""
    view = memoryview(data)
    while view:
        view = view[sink.write(view) :]


def pieces_of(source: Any, size: int = CHUNK) -> Iterable[bytes]:
    """The rest of `source` in pieces of at most `size` bytes.

    pg_dump writes 4 KiB at a time and a small piece costs as much work as a large one: after a small
    one its writer is given a moment to gather more.
    """
    while piece := source.read(size):
        yield piece
        if len(piece) < size // 8:
            time.sleep(_GATHER_SECONDS)
