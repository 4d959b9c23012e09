"""A volume's archive on its way: who writes it, what is seen of it as it passes, and the proof's lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from engine.sources.volumes.sandbox import PIPE, VOLUME
from engine.sources.volumes.tar_reader import TarReader, leads_out
from engine.sources.volumes.tree import ROOT, Entry, line_of
from engine.streams.bounded_buffer import BoundedBuffer
from engine.streams.pack import widen
from engine.streams.pipes import Meter, write_all

_RECORD = "--blocking-factor=256"
"""128 KiB at once: tar's own 10 KiB take three times as long through a pipe."""


def tar_argv(
    tar: str, leaving_out: Sequence[str] = (), only: Sequence[str] = (), *, file: str = PIPE
) -> tuple[str, ...]:
    """What writes a volume to a pipe, with all that a file system knows of a file."""
    kept = (
        _RECORD,
        "--format=posix",
        "--numeric-owner",
        "--sort=name",
        "--sparse",
        "--acls",
        "--xattrs",
        "--xattrs-include=*",
    )
    without = ("--xattrs-exclude=security.selinux", "--xattrs-exclude=security.ima", "--xattrs-exclude=security.evm")
    exact = ("--anchored", "--no-wildcards", *(f"--exclude=./{path}" for path in leaving_out))
    what = ("--no-recursion", "--", *(f"./{path}" for path in only)) if only else ("--", ".")
    return (tar, "--create", f"--file={file}", f"--directory={VOLUME}", *kept, *without, *exact, *what)


def extract_argv(tar: str) -> tuple[str, ...]:
    """What fills a volume from a pipe, with owners, modes, times and attributes as they were."""
    kept = ("--preserve-permissions", "--same-owner", "--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*")
    return (
        tar,
        "--extract",
        f"--file={PIPE}",
        f"--directory={VOLUME}",
        _RECORD,
        "--read-full-records",
        "--delay-directory-restore",
        *kept,
    )


@dataclass
class Reading:
    """What has been read of one volume, and who was stopped for it."""

    entries: int = 0
    folders: int = 0
    links_out: int = 0
    root_changed: int = 0
    """When the volume's own folder was last written to, in nanoseconds since the epoch."""
    size: int = 0
    databases: list[str] = field(default_factory=list)
    whole_databases: list[str] = field(default_factory=list)
    """Those of a size that SQLite gives them, as `beside.databases` looks for."""
    late: list[bytes] = field(default_factory=list)
    read: bool = False

    def add(self, entry: Entry, changed: int) -> None:
        if entry.path == ROOT:
            self.root_changed = changed
        self.folders += entry.type == "folder"
        self.entries += entry.type != "folder"
        self.links_out += leads_out(entry)
        if entry.database:
            self.databases.append(entry.path)
            if entry.size >= 512 and entry.size % 512 == 0:
                self.whole_databases.append(entry.path)


class Passing:
    """Pieces on their way to a sink: each is passed on once all of it has been looked at, up to the archive's end."""

    def __init__(self, pieces: Iterable[bytes], sink: BoundedBuffer, meter: Meter) -> None:
        self._pieces, self._sink, self._meter = pieces, sink, meter
        self.reader: TarReader | None = None

    def __iter__(self) -> Iterator[bytes]:
        passed = 0
        for piece in self._pieces:
            yield piece
            end = self.reader.end if self.reader else None
            kept = piece if end is None else piece[: max(0, end - passed)]
            self._sink.write(kept)
            passed += len(piece)
            self._meter.add(len(piece))


class Lines:
    """Lines of a proof, gzipped on their way to a pipe."""

    def __init__(self, sink: IO[bytes]) -> None:
        from isal import isal_zlib

        self._sink = sink
        self._press = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
        self._held: list[bytes] = []
        self._size = 0

    def add(self, entry: Entry) -> None:
        line = line_of(entry)
        self._held.append(line)
        self._size += len(line)
        if self._size > 1 << 18:
            self._flush()

    def _flush(self) -> None:
        if piece := self._press.compress(b"".join(self._held)):
            write_all(self._sink, piece)
        self._held, self._size = [], 0

    def end(self) -> None:
        self._flush()
        write_all(self._sink, self._press.flush())


def pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    widen(writing)
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)
