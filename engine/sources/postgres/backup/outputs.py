"""From one archive two stored files: the dump as it is, and the plain SQL."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import IO

from engine.repository.writing import SetWriter
from engine.sources.postgres.archive.splice import Composed, compose
from engine.sources.postgres.archive.toc import DataPlan
from engine.sources.postgres.backup.work import Work
from engine.sources.postgres.programs import commands
from engine.streams.pack import pack_argv, widen
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import pass_on, pieces_of, pump, write_all
from engine.streams.process import Process

STORING_SECONDS = 60.0
"""How long a failed dump waits for what is being stored: coming to its end later, it would replace a retry's file."""

Whole = Callable[[], bool]
"""Whether all that a stored file comes from has ended well; waits for it."""


def packed_apart(
    work: Work, pipeline: Pipeline, dump: Process, kept: IO[bytes], shared: SetWriter | None, preamble: bytes
) -> None:
    """Start what stores the archive (`kept` is its start) as it is and, in `shared`, as plain SQL after `preamble`."""
    recipients = work.out.repository.recipients
    dump_pack = pipeline.start(pack_argv(recipients), name="packing the dump")
    sinks = [dump_pack.stdin]
    if shared is not None:
        text_pack = pipeline.start(pack_argv(recipients), name="packing the SQL")
        write_all(text_pack.stdin, preamble)
        text = pipeline.start(
            commands.archive_text_argv(work.surveyed.programs),
            name="pg_restore to SQL",
            stdout=text_pack.stdin.fileno(),
        )
        text_pack.stdin.close()
        sinks.append(text.stdin)
        pipeline.run(
            partial(_store_text, work, shared, text_pack.stdout, partial(_ended_well, dump, text, text_pack)),
            "store the SQL",
            patience=STORING_SECONDS,
        )
    pieces = chain(pieces_of(kept), pieces_of(dump.stdout))
    pipeline.run(partial(pump, pieces, sinks, work.meter), "read")
    pipeline.run(
        partial(_store_dump, work, dump_pack.stdout, partial(_ended_well, dump, dump_pack)),
        "store the dump",
        patience=STORING_SECONDS,
    )


def packed_once(
    work: Work, shared: SetWriter, pipeline: Pipeline, dump: Process, kept: IO[bytes], preamble: bytes, plan: DataPlan
) -> Composed:
    """The same, with the rows, which are equal in both, packed once (see `splice`); what was composed."""
    composed = Composed()
    text = pipeline.start(commands.archive_text_argv(work.surveyed.programs), name="pg_restore to SQL")
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
    pipeline.run(reading, "read")
    pipeline.run(partial(compose, plan, preamble, text.stdout, dump_in, text_in, composed), "compose")
    pipeline.run(
        partial(_store_dump, work, dump_out, whole, encrypt_here=True), "store the dump", patience=STORING_SECONDS
    )
    pipeline.run(
        partial(_store_text, work, shared, text_out, whole, encrypt_here=True),
        "store the SQL",
        patience=STORING_SECONDS,
    )
    return composed


def _ended_well(*processes: Process) -> bool:
    return not any(process.popen.wait() for process in processes)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    """A pipe's two ends: where to read and where to write."""
    reading, writing = os.pipe()
    widen(writing)
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)


def _store_dump(work: Work, packed: IO[bytes], whole: Whole, *, encrypt_here: bool = False) -> None:
    size = work.database.size
    work.out.add_packed(
        work.dump_name, packed, "dump", work.name, whole=whole, encrypt_here=encrypt_here, expected_bytes=size
    )


def _store_text(work: Work, shared: SetWriter, packed: IO[bytes], whole: Whole, *, encrypt_here: bool = False) -> None:
    size = work.database.size
    shared.add_packed(
        work.text_name, packed, "sql", work.name, whole=whole, encrypt_here=encrypt_here, expected_bytes=size
    )
