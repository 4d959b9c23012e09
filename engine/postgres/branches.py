"""From one archive two stored files: the dump as it is, and the plain SQL."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import IO, TYPE_CHECKING, cast

from engine.errors import PlatformOpsError
from engine.postgres import commands
from engine.postgres.composing import Composed, compose
from engine.postgres.toc import DataPlan
from engine.sets.manifest import FileEntry
from engine.stores.base import ByteWriter
from engine.streams.pack import CHUNK, pack_argv, seal, widen
from engine.streams.pipeline import Pipeline, Process, pass_on, pieces_of, pump, write_all

if TYPE_CHECKING:
    from engine.postgres.dumping import Work

STORING_SECONDS = 60.0
"""How long a failed dump waits for what is being stored: coming to its end later, it would replace a retry's file."""

Whole = Callable[[], bool]
"""Whether all that a stored file comes from has ended well; waits for it."""


def packed_twice(work: Work, pipeline: Pipeline, dump: Process, kept: IO[bytes], preamble: bytes) -> None:
    """Start what stores the archive (`kept` is its start) as it is, and as plain SQL after `preamble`."""
    recipients = work.target.recipients
    text_pack = pipeline.start(pack_argv(recipients), name="packing the SQL")
    write_all(text_pack.stdin, preamble)
    text = pipeline.start(
        commands.archive_text_argv(work.night.programs),
        name="pg_restore to SQL",
        stdout=text_pack.stdin.fileno(),
    )
    text_pack.stdin.close()
    dump_pack = pipeline.start(pack_argv(recipients), name="packing the dump")
    pieces = chain(pieces_of(kept), pieces_of(dump.stdout))
    pipeline.run(partial(pump, pieces, (dump_pack.stdin, text.stdin), work.meter), "read")
    pipeline.run(
        partial(_store_dump, work, dump_pack.stdout, partial(_ended_well, dump, dump_pack)),
        "store the dump",
        patience=STORING_SECONDS,
    )
    pipeline.run(
        partial(_store_text, work, text_pack.stdout, partial(_ended_well, dump, text, text_pack)),
        "store the SQL",
        patience=STORING_SECONDS,
    )


def packed_alone(work: Work, pipeline: Pipeline, dump: Process, kept: IO[bytes]) -> None:
    """Start what stores the archive (`kept` is its start) as it is, for its own set alone."""
    packed = pipeline.start(pack_argv(work.target.recipients), name="packing the dump")
    pieces = chain(pieces_of(kept), pieces_of(dump.stdout))
    pipeline.run(partial(pump, pieces, (packed.stdin,), work.meter), "read")
    pipeline.run(
        partial(_store_dump, work, packed.stdout, partial(_ended_well, dump, packed)),
        "store the dump",
        patience=STORING_SECONDS,
    )


def packed_once(
    work: Work, pipeline: Pipeline, dump: Process, kept: IO[bytes], preamble: bytes, plan: DataPlan
) -> Composed:
    """The same, with the rows, which are equal in both, packed once (see `composing`); what was composed."""
    composed = Composed()
    text = pipeline.start(commands.archive_text_argv(work.night.programs), name="pg_restore to SQL")
    dump_out, dump_in = _pipe()
    text_out, text_in = _pipe()

    def reading() -> None:
        with text.stdin as sink:
            for piece in pieces_of(kept):
                write_all(sink, piece)
                work.meter.add(len(piece))
            pass_on(dump.stdout, sink, work.meter)

    def whole() -> bool:
        return composed.whole and _ended_well(dump, text)

    # Encrypting holds Python's lock, but only for what is packed already: a process would cost more.
    to = work.target.recipients
    pipeline.run(reading, "read")
    pipeline.run(partial(compose, plan, preamble, text.stdout, dump_in, text_in, composed), "compose")
    pipeline.run(partial(_store_dump, work, dump_out, whole, to), "store the dump", patience=STORING_SECONDS)
    pipeline.run(partial(_store_text, work, text_out, whole, to), "store the SQL", patience=STORING_SECONDS)
    return composed


def _ended_well(*processes: Process) -> bool:
    return not any(process.popen.wait() for process in processes)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    """A pipe's two ends: where to read and where to write."""
    reading, writing = os.pipe()
    widen(writing)
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)


def _store_dump(work: Work, packed: IO[bytes], whole: Whole, to: Sequence[str] = ()) -> None:
    work.dump = _store(work, work.key.prefix + work.dump_name, packed, whole, to, kind="dump")


def _store_text(work: Work, packed: IO[bytes], whole: Whole, to: Sequence[str] = ()) -> None:
    work.text = _store(work, work.night.cluster.prefix + work.text_name, packed, whole, to, kind="sql")


class _Sink:
    """Where what is stored goes, in large pieces: counted and hashed. `error` is what the store raised."""

    def __init__(self, writer: ByteWriter) -> None:
        self._writer = writer
        self._held = bytearray()
        self.digest = hashlib.sha256()
        self.size = 0
        self.error: PlatformOpsError | None = None

    def write(self, data: bytes) -> int:
        self._held += data
        if len(self._held) >= CHUNK:
            self.flush()
        return len(data)

    def flush(self) -> None:
        piece = bytes(self._held)
        self._held.clear()
        if not piece:
            return
        self.digest.update(piece)
        self.size += len(piece)
        try:
            self._writer.write(piece)
        except PlatformOpsError as error:
            self.error = error
            raise


def _store(work: Work, key: str, packed: IO[bytes], whole: Whole, to: Sequence[str], kind: str) -> FileEntry:
    """Store what comes, encrypted `to` whom. It gets its name only when all that it comes from has ended well."""
    with packed, work.target.store.writer(key, expected_bytes=work.database.size) as writer:
        sink = _Sink(writer)
        try:
            _send(packed, sink, to)
        except BrokenPipeError:
            raise sink.error or BrokenPipeError() from None
        if not whole():
            raise BrokenPipeError  # leaves nothing; join tells what went wrong
    return FileEntry.model_validate(
        {
            "name": key.rpartition("/")[2],
            "size": sink.size,
            "sha256": sink.digest.hexdigest(),
            "kind": kind,
            "database": work.name,
        }
    )


def _send(packed: IO[bytes], sink: _Sink, to: Sequence[str]) -> None:
    if to:
        with io.BufferedReader(cast("io.RawIOBase", packed), CHUNK) as source:
            seal(source, sink, to)
    else:
        for piece in pieces_of(packed):
            sink.write(piece)
    sink.flush()
