"""Fill the working database from a database set's archive, as fast as the server takes it.

The archive is read as one stream. Its head, which has the whole table of contents, is kept: the
statements before and after the data come from it, indexes and keys by several sessions of pg_restore
at once. The rows between go to several sessions as well, so that a single large table uses them all.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO

import psycopg

from engine.errors import OperationFailed
from engine.hosts.machine import in_time
from engine.postgres import commands
from engine.postgres.after_data import after_data
from engine.postgres.archive import Head, read_head
from engine.postgres.archive_rows import rows_of_archive
from engine.postgres.early_proofs import EarlyProofs
from engine.postgres.filling import JOBS, Filling, sort_memory
from engine.postgres.handover import Handover
from engine.postgres.loading import Loading
from engine.postgres.proof import TableProof, plain_name
from engine.postgres.replay import APPLICATION, STALL_SECONDS
from engine.postgres.row_order import rows_have_an_order
from engine.postgres.server import failed
from engine.postgres.table_data import copy_of, rows_of
from engine.postgres.toc import DataEntry, DataPlan
from engine.postgres.unchanged import EarlyProof
from engine.progress import Throttled
from engine.streams.pack import widen
from engine.streams.pipeline import Meter, Patient, Pipeline, Process, pieces_of, write_all

_END_SECONDS = 10.0
_MANY_ROWS = 100_000
"""A table of so many is worth what TRUNCATE costs."""


def fill_from_archive(filling: Filling) -> dict[str, EarlyProof]:
    """Statements before the data, data, statements after; proofs of rows that were taken meanwhile.

    Raises:
        OperationFailed: the set does not restore, or the server refuses something in it.
    """
    work = _Work(filling, filling.most_memory())
    return _after_data(work, _until_data_are_in(work))


@dataclass(frozen=True, slots=True)
class _Work:
    """`most_memory` is what a session that builds an index may have, in kB."""

    filling: Filling
    most_memory: int

    @property
    def environment(self) -> dict[str, str]:
        return self.filling.environment(self.most_memory)

    @property
    def head(self) -> Path:
        return self.filling.source.spool / "head"

    def listed(self, name: str, lines: Sequence[bytes]) -> Path:
        """A file that names entries to pg_restore."""
        path = self.filling.source.spool / f"{name}.list"
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(b"\n".join(lines) + b"\n")
        return path


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The archive's head, what is known of its data (if anything), and what sessions have done."""

    head: Head
    plan: DataPlan | None
    loading: Loading

    @property
    def large_tables(self) -> tuple[bytes, ...]:
        return self.loading.handover.large_tables


def _until_data_are_in(work: _Work) -> _Loaded:
    filling, meter = work.filling, Meter()
    with filling.source.stored.open("rb") as stored, Pipeline() as pipeline:
        unpacked = filling.unpacked(pipeline, stored)
        head = _head(work, unpacked)
        _before_data(work)
        with head.path.open("rb") as start:
            pieces = _counted(chain(pieces_of(start), pieces_of(unpacked.stdout)), meter)
            loaded = _start_readers(work, pipeline, head, pieces)
            filling.join(pipeline, meter, stored)
    return loaded


def _start_readers(work: _Work, pipeline: Pipeline, head: Head, pieces: Iterator[bytes]) -> _Loaded:
    """Whoever takes the data out of the archive: `pieces` are all of it, from its start."""
    plan = head.data_plan()
    loading = _loading(work, plan)
    others = _other_readers(work, pipeline, head)
    if plan is None:
        sinks = (*_row_readers(work, pipeline, head, loading), *others)
        pipeline.run(lambda: deque(_passed(pieces, sinks), maxlen=0), "read")
        return _Loaded(head, plan, loading)
    rows = rows_of_archive(_passed(pieces, tuple(others)), plan, head.settings())
    pipeline.run(partial(loading.handover.give, rows), "cut")
    _load(loading, pipeline)
    return _Loaded(head, plan, loading)


def _loading(work: _Work, plan: DataPlan | None) -> Loading:
    filling = work.filling
    # The keys that a sample is chosen by are not there yet.
    prove = filling.source.proof.sample_percent == 100
    if rows_have_an_order(filling.server, filling.working):
        handover = Handover(1, prove=prove)
    elif plan is None:
        handover = Handover(JOBS, prove=prove)
    else:
        whole = {table for _, table in _tables(plan)}
        indexes = [index for index in plan.indexes if index.table in whole]
        handover = Handover(JOBS, _worth_a_session(plan, filling.source.proof.tables), indexes, prove=prove)
    return Loading(
        filling.server, filling.working, handover, lambda size: sort_memory(size, work.most_memory)
    )


def _worth_a_session(plan: DataPlan, proofs: Mapping[str, TableProof]) -> dict[bytes, int]:
    """Tables, as SQL, with many rows, and how many."""
    found = {}
    for entry, table in _tables(plan):
        names = (part.decode("utf8", "replace") for part in (entry.schema, entry.name))
        proof = proofs.get(plain_name(*names))
        if proof and proof.rows >= _MANY_ROWS:
            found[table] = proof.rows
    return found


def _tables(plan: DataPlan) -> list[tuple[DataEntry, bytes]]:
    """Data, and the table as SQL that it goes into, where it is all of that table's.

    The rows of several leaves may be meant for their root (hash partitions of an enum).
    """
    copies = [(entry, copy_of(entry.copy, b"")) for entry in plan.entries]
    into = [(entry, found.copy.table) for entry, found in copies if found]
    times = Counter(table for _, table in into)
    return [(entry, table) for entry, table in into if times[table] == 1]


def _head(work: _Work, unpacked: Process) -> Head:
    try:
        return read_head(Patient(unpacked, STALL_SECONDS), work.head, work.filling.programs)
    except OperationFailed:
        if unpacked.stalled is not None:
            raise unpacked.stalled from None
    unpacked.stdout.close()
    with in_time():
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


def _row_readers(work: _Work, pipeline: Pipeline, head: Head, loading: Loading) -> Iterator[IO[bytes]]:
    """The program that writes tables' rows as text where only it can read the archive."""
    lines = head.lines_of_rows()
    if not lines:
        return
    filling, handover = work.filling, loading.handover
    argv = commands.archive_text_argv(filling.programs, use_list=work.listed("rows", lines))
    text = pipeline.start(argv, name="pg_restore of the rows", env=work.environment)
    text.failed_as = OperationFailed
    widen(text.stdin.fileno())
    widen(text.stdout.fileno())
    pipeline.run(lambda: handover.give(rows_of(pieces_of(text.stdout))), "cut")
    _load(loading, pipeline)
    yield text.stdin


def _load(loading: Loading, pipeline: Pipeline) -> None:
    """The sessions that load the rows."""
    for _ in range(loading.handover.sessions):
        pipeline.run(loading.run, "load")


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
            with suppress(BrokenPipeError):
                sink.close()


def _vacuum(filling: Filling, loaded: _Loaded) -> None:
    """Mark large tables as visible to all: foreign keys are then checked in indexes alone, four times as fast.

    While any session loads, its snapshot is older than the rows of another, and VACUUM marks nothing.
    """
    tables = deque(table for table in loaded.large_tables if table not in loaded.loading.done.frozen)

    def vacuum() -> None:
        try:
            with filling.server.connect(filling.working, application=APPLICATION) as connection:
                connection.execute("SET synchronous_commit = off")
                with suppress(IndexError):
                    while True:
                        connection.execute(b"VACUUM " + tables.popleft())
        except psycopg.Error as error:
            raise failed(f"Vacuuming the restored {filling.working!r} failed", error) from None

    with Pipeline() as pipeline:
        for _ in range(min(JOBS, len(tables))):
            pipeline.run(vacuum, "vacuum")
        pipeline.join(on_tick=_ticking(filling, "VACUUM of large tables"))


def _ticking(filling: Filling, what: str) -> Callable[[], None]:
    """Tells now and then for how long something that moves no bytes goes on."""
    began, tick = time.monotonic(), Throttled(filling.progress)
    return lambda: tick(f"{filling.what}: {what}, {time.monotonic() - began:.0f} s")


def _after_data(work: _Work, loaded: _Loaded) -> dict[str, EarlyProof]:
    """What makes the rows a database, and meanwhile proofs of the rows of large tables."""
    filling, wanted, ended = work.filling, loaded.loading.handover.to_prove, threading.Event()
    proving = EarlyProofs(filling.server, filling.working, wanted, lambda: not ended.is_set())
    with Pipeline() as pipeline:
        if wanted:
            pipeline.run(proving.run, "prove")
        try:
            _vacuum(filling, loaded)
            _statements_after_data(work, loaded)
        finally:
            ended.set()
        pipeline.join()
    return loaded.loading.done.proofs | proving.proofs


def _statements_after_data(work: _Work, loaded: _Loaded) -> None:
    """All that were not run on the way: indexes and keys by several sessions, the rest by one, in the archive's order."""
    environment = _environment_of_indexes(work, loaded)
    found = after_data(loaded.head, loaded.loading.done.built)
    _restore_listed(work, environment, "indexes and keys", found.indexes, jobs=JOBS)
    _restore_listed(work, environment, "foreign keys, triggers and views", found.others)


def _environment_of_indexes(work: _Work, loaded: _Loaded) -> dict[str, str]:
    filling, loading = work.filling, loaded.loading
    # An index that is not sorted (gin, gist) wants all the memory it can get; so may a materialized view's, of any size.
    only_sorts = loaded.plan is not None and loaded.plan.only_sorts
    memory = loading.sort_memory(loading.handover.largest) if only_sorts else work.most_memory
    environment = filling.environment(memory)
    # With a table for each session, an index's own workers only cost more.
    if len(loaded.large_tables) >= JOBS:
        options = f"{environment['PGOPTIONS']} -c max_parallel_maintenance_workers=0"
        environment = environment | {"PGOPTIONS": options}
    return environment


def _restore_listed(
    work: _Work, environment: dict[str, str], what: str, lines: Sequence[bytes], jobs: int = 1
) -> None:
    if not lines:
        return
    filling, listed = work.filling, work.listed(what, lines)
    argv = commands.restore_argv(
        filling.programs, filling.working, archive=work.head, use_list=listed, jobs=jobs
    )
    with Pipeline() as pipeline:
        filling.writer(pipeline, argv, environment)
        pipeline.join(on_tick=_ticking(filling, what))
