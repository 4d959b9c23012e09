"""From one archive two stored files: the dump as it is, and the plain SQL."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import partial
from itertools import chain
from threading import Event
from typing import IO, TYPE_CHECKING

from engine.postgres import commands
from engine.postgres.composing import Composed, compose
from engine.postgres.toc import DataPlan
from engine.sets.manifest import FileEntry
from engine.streams.pack import pack_argv, seal, seal_argv, widen
from engine.streams.pipeline import Pipeline, Process, pass_on, pieces_of, pump, write_all

if TYPE_CHECKING:
    from engine.postgres.dumping import Work

_OWN_PROCESS_BYTES = 32 * 2**20
"""Databases from this size on are encrypted in processes of their own; below it, starting them costs more."""


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
        partial(_store_dump, work, dump_pack.stdout, partial(_ended_well, dump, dump_pack)), "store the dump"
    )
    pipeline.run(
        partial(_store_text, work, text_pack.stdout, partial(_ended_well, dump, text, text_pack)),
        "store the SQL",
    )


def packed_once(
    work: Work, pipeline: Pipeline, dump: Process, kept: IO[bytes], preamble: bytes, plan: DataPlan
) -> Composed:
    """The same, with the rows, which are equal in both, packed once (see `composing`); what was composed."""
    composed = Composed()
    text = pipeline.start(commands.archive_text_argv(work.night.programs), name="pg_restore to SQL")
    dump_in, dump_out, dump_sealed = _sealing(work, pipeline, "encrypting the dump")
    text_in, text_out, text_sealed = _sealing(work, pipeline, "encrypting the SQL")

    def reading() -> None:
        with text.stdin as sink:
            for piece in pieces_of(kept):
                write_all(sink, piece)
                work.meter.add(len(piece))
            pass_on(dump.stdout, sink, work.meter)

    pipeline.run(reading, "read")
    pipeline.run(partial(compose, plan, preamble, text.stdout, dump_in, text_in, composed), "compose")

    def whole(sealed: Callable[[], bool]) -> bool:
        return composed.whole and _ended_well(dump, text) and sealed()

    pipeline.run(partial(_store_dump, work, dump_out, partial(whole, dump_sealed)), "store the dump")
    pipeline.run(partial(_store_text, work, text_out, partial(whole, text_sealed)), "store the SQL")
    return composed


def _sealing(work: Work, pipeline: Pipeline, name: str) -> tuple[IO[bytes], IO[bytes], Callable[[], bool]]:
    """Where to write what is packed, where to read what is stored of it, and whether that is all.

    Without recipients both are the same bytes.
    """
    recipients = work.target.recipients
    if recipients and work.database.size >= _OWN_PROCESS_BYTES:
        process = pipeline.start(seal_argv(recipients), name=name)
        return process.stdin, process.stdout, partial(_ended_well, process)
    packed, sink = _pipe()
    if not recipients:
        return sink, packed, lambda: True
    stored, sealed = _pipe()
    done = Event()

    def sealing() -> None:
        with packed, sealed:
            seal(packed, sealed, recipients)
            done.set()

    pipeline.run(sealing, name)
    return sink, stored, done.is_set


def _ended_well(*processes: Process) -> bool:
    return not any(process.popen.wait() for process in processes)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    """A pipe's two ends: where to read and where to write."""
    reading, writing = os.pipe()
    widen(writing)
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)


def _store_dump(work: Work, packed: IO[bytes], whole: Callable[[], bool]) -> None:
    work.dump = _store(work, work.key.prefix + work.dump_name, packed, whole, kind="dump")


def _store_text(work: Work, packed: IO[bytes], whole: Callable[[], bool]) -> None:
    work.text = _store(work, work.night.cluster.prefix + work.text_name, packed, whole, kind="sql")


def _store(work: Work, key: str, packed: IO[bytes], whole: Callable[[], bool], kind: str) -> FileEntry:
    """Store what comes. It gets its name only when all that it comes from has ended well."""
    digest, size = hashlib.sha256(), 0
    with packed, work.target.store.writer(key, expected_bytes=work.database.size) as writer:
        for piece in pieces_of(packed):
            digest.update(piece)
            writer.write(piece)
            size += len(piece)
        if not whole():
            raise BrokenPipeError  # leaves nothing; join tells what went wrong
    return FileEntry.model_validate(
        {
            "name": key.rpartition("/")[2],
            "size": size,
            "sha256": digest.hexdigest(),
            "kind": kind,
            "database": work.name,
        }
    )
