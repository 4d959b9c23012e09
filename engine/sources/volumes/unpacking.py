"""A set's archive into an empty volume, and the volume's tree beside the proof."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from heapq import merge
from typing import IO

from engine.errors import CouldNotVerify, DamagedSet, OperationFailed
from engine.hosts.machine import in_time
from engine.progress import Progress, Throttled
from engine.repository.body import Body, FileEntry
from engine.repository.reading import stored_pieces
from engine.repository.repository import Repository
from engine.repository.unpacking import start_unpack
from engine.sources.volumes.backup import ARCHIVE, LATE_PROOF, PROOF
from engine.sources.volumes.kinds import facts_of
from engine.sources.volumes.sandbox import FILL, READ, Sandbox, filling, reading
from engine.sources.volumes.streaming import extract_argv, tar_argv
from engine.sources.volumes.tar_reader import HostileMember, TarReader, leads_out
from engine.sources.volumes.tree import Entry, TreeDifference, differences, entries_of
from engine.streams.pack import CHUNK
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Abandonable, Meter, pieces_of, pump, write_all
from engine.streams.process import Process

STALL_SECONDS = 600.0
_END_SECONDS = 60.0
SHOWN = 1000
"""Differences that are kept: more tell nothing more."""


def unpack(sandbox: Sandbox, repository: Repository, body: Body, volume: str, progress: Progress) -> None:
    """Fill an empty volume. A member that leads out is refused before the program that unpacks sees it.

    Raises:
        DamagedSet: the archive is damaged, or hostile.
        OperationFailed: it cannot be written there.
    """
    file, tick, meter = _file(body, ARCHIVE), Throttled(progress), Meter()
    with (
        Pipeline() as pipeline,
        sandbox.piped("fill", extract_argv(sandbox.tar), (filling(volume),), FILL, inwards=True) as program,
    ):
        unpacked = start_unpack(pipeline, repository, body, file)
        tar = pipeline.add(program, name=f"tar into {volume}")
        tar.failed_as = OperationFailed
        pipeline.run(partial(pump, stored_pieces(repository, body.key, file), (unpacked.stdin,), meter), "read")
        pipeline.run(partial(_guarded, unpacked, tar.stdin, facts_of(body).links_out), "look at each member")
        pipeline.join(meter, STALL_SECONDS, lambda: tick(f"unpack {body.name}", meter.bytes, file.size))


def _guarded(unpacked: Process, sink: IO[bytes], links_out: int) -> None:
    """Pass the archive on, each piece once all of it was looked at."""
    whole = False
    try:
        for entry, _ in TarReader(_then_passed(pieces_of(unpacked.stdout), sink)).entries():
            if leads_out(entry):
                links_out -= 1
                if links_out < 0:
                    raise HostileMember(
                        f"The archive holds the link {entry.path!r} to {entry.link!r}, which leads out and which the set's "
                        "manifest knows nothing of: it is not unpacked."
                    )
        whole = True
    finally:
        if not whole and isinstance(sink, Abandonable):
            sink.abandon()
        else:
            sink.close()


def _then_passed(pieces: Iterable[bytes], sink: IO[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        write_all(sink, piece)


def compare(
    sandbox: Sandbox, repository: Repository, body: Body, volume: str
) -> tuple[tuple[TreeDifference, ...], int, int]:
    """What differs between a volume and the set's proof (at most so many); how many folders and other things it has.

    Raises:
        DamagedSet: the proof is damaged.
        CouldNotVerify: the volume cannot be read.
    """
    counts = {"folder": 0, "file": 0}
    found: list[TreeDifference] = []
    with _proof(repository, body) as expected, _tree(sandbox, volume, counts) as seen:
        for one in differences(expected, seen):
            if len(found) < SHOWN:
                found.append(one)
    return tuple(found), counts["folder"], counts["file"]


@contextmanager
def _proof(repository: Repository, body: Body) -> Iterator[Iterator[Entry]]:
    """The proof's lines, of any number: they stream."""
    files = [_file(body, PROOF), *body.of_roles(LATE_PROOF)]
    with Pipeline() as pipeline:
        streams = []
        for file in files:
            process = start_unpack(pipeline, repository, body, file)
            pipeline.run(partial(pump, stored_pieces(repository, body.key, file), (process.stdin,)), "read")
            streams.append(_proven(entries_of(io.BufferedReader(_Raw(process.stdout), CHUNK)), pipeline))
        yield merge(*streams, key=lambda entry: entry.order)
        pipeline.join()


def _proven(entries: Iterator[Entry], pipeline: Pipeline) -> Iterator[Entry]:
    """A proof that breaks off is damaged only where the store gave all of it."""
    try:
        yield from entries
    except DamagedSet:
        pipeline.raise_failure()
        raise


class _Raw(io.RawIOBase):
    """A pipe, read without taking it over."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        data = self._pipe.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _tree(sandbox: Sandbox, volume: str, counts: dict[str, int]) -> Iterator[Iterator[Entry]]:
    """What is in a volume now."""
    with (
        Pipeline() as pipeline,
        sandbox.piped("look", tar_argv(sandbox.tar), (reading(volume),), READ) as program,
    ):
        process = pipeline.add(program, name=f"tar of {volume}")
        yield _counted(TarReader(pieces_of(process.stdout), trusted=True), counts, process)
        pipeline.join()


def _counted(reader: TarReader, counts: dict[str, int], tar: Process) -> Iterator[Entry]:
    try:
        for entry, _ in reader.entries():
            counts["folder" if entry.type == "folder" else "file"] += 1
            yield entry
    except DamagedSet as error:  # of what is read back: what was stored is not what is wrong
        with in_time():
            why = tar.failure() if tar.popen.wait(_END_SECONDS) else error
        raise CouldNotVerify(f"What was unpacked cannot be read: {why}") from None


def _file(body: Body, role: str) -> FileEntry:
    file = body.file(role)
    if file is None:
        raise DamagedSet(f"{body.key} has no {role} in its manifest; use another set.")
    return file
