"""What is done once all rows are in: VACUUM, indexes and keys, all other statements."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg

from engine.progress import Throttled
from engine.sources.postgres.programs import commands
from engine.sources.postgres.restore.after_data import after_data
from engine.sources.postgres.restore.load.job import JOBS, LoadJob
from engine.sources.postgres.restore.load.work import Loaded, Work
from engine.sources.postgres.restore.replay import APPLICATION
from engine.sources.postgres.server.server import failed
from engine.streams.pipeline import Pipeline


def finish_database(work: Work, loaded: Loaded) -> None:
    """What makes the rows a database."""
    _vacuum(work.job, loaded)
    _statements_after_data(work, loaded)


def _vacuum(job: LoadJob, loaded: Loaded) -> None:
    """Mark large tables as visible to all: foreign keys are then checked in indexes alone, four times as fast.

    While any session loads, its snapshot is older than the rows of another, and VACUUM marks nothing.
    """
    tables = deque(table for table in loaded.large_tables if table not in loaded.loading.done.frozen)

    def vacuum() -> None:
        try:
            with job.server.connect(job.working, application=APPLICATION, encoding=job.encoding) as connection:
                connection.execute("SET synchronous_commit = off")
                with suppress(IndexError):
                    while True:
                        connection.execute(b"VACUUM " + tables.popleft())
        except psycopg.Error as error:
            raise failed(f"Vacuuming the restored {job.working!r} failed", error) from None

    with Pipeline() as pipeline:
        for _ in range(min(JOBS, len(tables))):
            pipeline.run(vacuum, "vacuum")
        pipeline.join(on_tick=_ticking(job, "VACUUM of large tables"))


def _statements_after_data(work: Work, loaded: Loaded) -> None:
    """All that were not run on the way: indexes and keys by several sessions, the rest by one, in the archive's order."""
    environment = _environment_of_indexes(work, loaded)
    found = after_data(loaded.head, loaded.loading.done.built)
    _restore_listed(work, environment, "indexes and keys", found.indexes, jobs=JOBS)
    _restore_listed(work, environment, "foreign keys, triggers and views", found.others)


def _environment_of_indexes(work: Work, loaded: Loaded) -> dict[str, str]:
    job, loading = work.job, loaded.loading
    # An index that is not sorted (gin, gist) wants all the memory it can get; so may a materialized view's, of any size.
    only_sorts = loaded.plan is not None and loaded.plan.only_sorts
    memory = loading.sort_memory(loading.scheduler.largest) if only_sorts else work.most_memory
    environment = job.environment(memory)
    # With a table for each session, an index's own workers only cost more.
    if len(loaded.large_tables) >= JOBS:
        options = f"{environment['PGOPTIONS']} -c max_parallel_maintenance_workers=0"
        environment = environment | {"PGOPTIONS": options}
    return environment


def _restore_listed(work: Work, environment: dict[str, str], what: str, lines: Sequence[bytes], jobs: int = 1) -> None:
    if not lines:
        return
    job, listed = work.job, work.listed(what, lines)
    argv = commands.restore_argv(job.programs, job.working, archive=work.head, use_list=listed, jobs=jobs)
    with Pipeline() as pipeline:
        job.writer(pipeline, argv, environment)
        pipeline.join(on_tick=_ticking(job, what))


def _ticking(job: LoadJob, what: str) -> Callable[[], None]:
    """Tells now and then for how long something that moves no bytes goes on."""
    began, tick = time.monotonic(), Throttled(job.progress)
    return lambda: tick(f"{job.what}: {what}, {time.monotonic() - began:.0f} s")
