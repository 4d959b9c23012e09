"""Fill the working database from a database set's archive, as fast as the server takes it.

The archive is read as one stream. Its head, which has the whole table of contents, is kept: the
statements before and after the data come from it, the latter by several sessions of pg_restore at
once. The rows between go to several sessions as well, so that a single large table uses them all.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO

import psycopg

from engine.errors import OperationFailed
from engine.postgres import commands
from engine.postgres.archive import Head, read_head
from engine.postgres.archive_rows import rows_of_archive
from engine.postgres.early_proofs import EarlyProofs
from engine.postgres.filling import JOBS, Filling
from engine.postgres.loading import Handover, load
from engine.postgres.proof import TableProof
from engine.postgres.replay import APPLICATION, STALL_SECONDS
from engine.postgres.server import failed
from engine.postgres.table_data import rows_of
from engine.progress import Throttled
from engine.streams.pack import widen
from engine.streams.pipeline import Meter, Patient, Pipeline, Process, pieces_of, write_all

_END_SECONDS = 10.0


def fill_from_archive(filling: Filling) -> dict[str, TableProof]:
    """Statements before the data, data, statements after; proofs of rows that were taken meanwhile.

    Raises:
        OperationFailed: the set does not restore, or the server refuses something in it.
    """
    work = _Work(filling, filling.environment(), Handover(JOBS))
    _until_data_are_in(work)
    _vacuum(filling, work.handover.large_tables)
    return _after_data(work)


@dataclass(frozen=True, slots=True)
class _Work:
    filling: Filling
    environment: dict[str, str]
    handover: Handover

    @property
    def head(self) -> Path:
        return self.filling.source.spool / "head"

    def listed(self, name: str, lines: Sequence[bytes]) -> Path:
        """A file that names entries to pg_restore."""
        path = self.filling.source.spool / f"{name}.list"
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(b"\n".join(lines) + b"\n")
        return path


def _until_data_are_in(work: _Work) -> None:
    filling, meter = work.filling, Meter()
    with filling.source.stored.open("rb") as stored, Pipeline() as pipeline:
        unpacked = filling.unpacked(pipeline, stored)
        head = _head(work, unpacked)
        _before_data(work)
        with head.path.open("rb") as start:
            pieces = _counted(chain(pieces_of(start), pieces_of(unpacked.stdout)), meter)
            _start_readers(work, pipeline, head, pieces)
            filling.join(pipeline, meter, stored)


def _start_readers(work: _Work, pipeline: Pipeline, head: Head, pieces: Iterator[bytes]) -> None:
    """Whoever takes the data out of the archive: `pieces` are all of it, from its start."""
    plan = head.data_plan()
    others = _other_readers(work, pipeline, head)
    if plan is None:
        sinks = (*_row_readers(work, pipeline, head), *others)
        pipeline.run(lambda: deque(_passed(pieces, sinks), maxlen=0), "read")
        return
    rows = rows_of_archive(_passed(pieces, tuple(others)), plan, head.settings())
    pipeline.run(partial(work.handover.give, rows), "cut")
    _load(work, pipeline)


def _head(work: _Work, unpacked: Process) -> Head:
    try:
        return read_head(Patient(unpacked, STALL_SECONDS), work.head, work.filling.programs)
    except OperationFailed:
        if unpacked.stalled is not None:
            raise unpacked.stalled from None
    unpacked.stdout.close()
    code = unpacked.popen.wait(_END_SECONDS)
    if code in unpacked.explains:
        raise unpacked.explains[code]
    source = work.filling.source
    raise OperationFailed(
        f"{source.choice.key}: {source.file.name} holds no readable archive; use another set."
    )


def _before_data(work: _Work) -> None:
    filling = work.filling
    argv = commands.restore_argv(filling.programs, filling.working, "pre-data", archive=work.head)
    with Pipeline() as pipeline:
        filling.writer(pipeline, argv, work.environment)
        pipeline.join()


def _row_readers(work: _Work, pipeline: Pipeline, head: Head) -> Iterator[IO[bytes]]:
    """The program that writes tables' rows as text where only it can read the archive."""
    lines = head.lines_of_rows()
    if not lines:
        return
    filling, handover = work.filling, work.handover
    argv = commands.archive_text_argv(filling.programs, use_list=work.listed("rows", lines))
    text = pipeline.start(argv, name="pg_restore of the rows", env=work.environment)
    text.failed_as = OperationFailed
    widen(text.stdin.fileno())
    widen(text.stdout.fileno())
    pipeline.run(lambda: handover.give(rows_of(pieces_of(text.stdout))), "cut")
    _load(work, pipeline)
    yield text.stdin


def _load(work: _Work, pipeline: Pipeline) -> None:
    """The sessions that load the rows."""
    for _ in range(JOBS):
        pipeline.run(partial(load, work.filling.server, work.filling.working, work.handover), "load")


def _other_readers(work: _Work, pipeline: Pipeline, head: Head) -> Iterator[IO[bytes]]:
    """The program for all other data; without large objects, the head has them."""
    lines = head.lines_of_other_data()
    if not lines:
        return
    filling, listed = work.filling, work.listed("others", lines)
    archive = None if head.has_large_objects else work.head
    argv = commands.restore_argv(filling.programs, filling.working, "data", archive=archive, use_list=listed)
    if archive is not None:
        filling.writer(pipeline, argv, work.environment)
        return
    yield filling.writer(pipeline, argv, work.environment, subprocess.PIPE).stdin


def _counted(pieces: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        meter.add(len(piece))


def _passed(pieces: Iterable[bytes], sinks: Sequence[IO[bytes]]) -> Iterator[bytes]:
    """The pieces, each written to all on the way; a program that has read what it wants may close its end early."""
    reading = list(sinks)
    try:
        for piece in pieces:
            for sink in tuple(reading):
                try:
                    write_all(sink, piece)
                except BrokenPipeError:
                    reading.remove(sink)
            yield piece
    finally:
        for sink in sinks:
            with contextlib.suppress(BrokenPipeError):
                sink.close()


def _vacuum(filling: Filling, tables: Sequence[bytes]) -> None:
    """Mark large tables as visible to all: foreign keys are then checked in indexes alone, four times as fast.

    While any session loads, its snapshot is older than the rows of another, and VACUUM marks nothing.
    """

    def vacuum(table: bytes) -> None:
        with filling.server.connect(filling.working, application=APPLICATION) as connection:
            connection.execute("SET synchronous_commit = off")
            connection.execute(b"VACUUM " + table)

    with ThreadPoolExecutor(JOBS) as pool:
        try:
            list(pool.map(vacuum, tables))
        except psycopg.Error as error:
            raise failed(f"Vacuuming the restored {filling.working!r} failed", error) from None


def _after_data(work: _Work) -> dict[str, TableProof]:
    filling, environment = work.filling, work.filling.environment(work.handover.largest)
    tables = work.handover.large_tables
    # With a table for each session, an index's own workers only cost more.
    if len(tables) >= JOBS:
        options = f"{environment['PGOPTIONS']} -c max_parallel_maintenance_workers=0"
        environment = environment | {"PGOPTIONS": options}
    argv = commands.restore_argv(filling.programs, filling.working, "post-data", archive=work.head, jobs=JOBS)
    began, tick = time.monotonic(), Throttled(filling.progress)
    with Pipeline() as pipeline:
        builds = filling.writer(pipeline, argv, environment)
        # The keys that a sample is chosen by are not there yet.
        wanted = tables if filling.source.proof.sample_percent == 100 else ()
        proving = EarlyProofs(filling.server, filling.working, wanted, lambda: builds.popen.poll() is None)
        if wanted:
            pipeline.run(proving.run, "prove")
        pipeline.join(
            on_tick=lambda: tick(f"{filling.what}: indexes and constraints, {time.monotonic() - began:.0f} s")
        )
    return proving.proofs
