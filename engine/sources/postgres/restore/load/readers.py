"""Who takes the data out of an archive while it streams: rows for the sessions that load, all else for pg_restore."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import IO

from engine.errors import OperationFailed
from engine.sources.postgres.archive.archive import Head
from engine.sources.postgres.archive.archive_rows import rows_of_archive
from engine.sources.postgres.archive.table_data import rows_of
from engine.sources.postgres.programs import commands
from engine.sources.postgres.restore.load.plan import planned_loading
from engine.sources.postgres.restore.load.session import Loading
from engine.sources.postgres.restore.load.work import Loaded, Work
from engine.streams.pack import widen
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import pieces_of, write_all


def start_readers(work: Work, pipeline: Pipeline, head: Head, pieces: Iterator[bytes]) -> Loaded:
    """Whoever takes the data out of the archive: `pieces` are all of it, from its start."""
    plan = head.data_plan()
    loading = planned_loading(work, plan)
    others = _other_readers(work, pipeline, head)
    if plan is None:
        sinks = (*_row_readers(work, pipeline, head, loading), *others)
        pipeline.run(lambda: deque(_passed(pieces, sinks), maxlen=0), "read")
        return Loaded(head, plan, loading)
    rows = rows_of_archive(_passed(pieces, tuple(others)), plan, head.settings())
    pipeline.run(partial(loading.scheduler.give, rows), "cut")
    _load(loading, pipeline)
    return Loaded(head, plan, loading)


def _row_readers(work: Work, pipeline: Pipeline, head: Head, loading: Loading) -> Iterator[IO[bytes]]:
    """The program that writes tables' rows as text where only it can read the archive."""
    lines = head.lines_of_rows()
    if not lines:
        return
    job, scheduler = work.job, loading.scheduler
    argv = commands.archive_text_argv(job.programs, use_list=work.listed("rows", lines))
    text = pipeline.start(argv, name="pg_restore of the rows", env=work.environment)
    text.failed_as = OperationFailed
    widen(text.stdin.fileno())
    widen(text.stdout.fileno())
    pipeline.run(lambda: scheduler.give(rows_of(pieces_of(text.stdout))), "cut")
    _load(loading, pipeline)
    yield text.stdin


def _load(loading: Loading, pipeline: Pipeline) -> None:
    """The sessions that load the rows."""
    for _ in range(loading.scheduler.sessions):
        pipeline.run(loading.run, "load")


def _other_readers(work: Work, pipeline: Pipeline, head: Head) -> Iterator[IO[bytes]]:
    """The program for all other data; without large objects, the head has them."""
    lines = head.lines_of_other_data()
    if not lines:
        return
    job, listed = work.job, work.listed("others", lines)
    archive = None if head.has_large_objects else work.head
    argv = commands.restore_argv(job.programs, job.working, "data", archive=archive, use_list=listed)
    if archive is not None:
        job.writer(pipeline, argv, work.environment)
        return
    yield job.writer(pipeline, argv, work.environment, subprocess.PIPE).stdin


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
