"""Which sessions load a database's rows, and what they do beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from engine.sources.postgres.archive.names import plain_name
from engine.sources.postgres.archive.table_data import copy_of
from engine.sources.postgres.archive.toc import DataEntry, DataPlan
from engine.sources.postgres.proof.proof import TableProof
from engine.sources.postgres.restore.load.job import JOBS, sort_memory
from engine.sources.postgres.restore.load.row_order import rows_have_an_order
from engine.sources.postgres.restore.load.scheduler import LoadScheduler
from engine.sources.postgres.restore.load.session import Loading
from engine.sources.postgres.restore.load.work import Work
from engine.sources.postgres.server.raw_text import to_text

_MANY_ROWS = 100_000
"""A table of so many is worth what TRUNCATE costs."""


def planned_loading(work: Work, plan: DataPlan | None) -> Loading:
    """What the sessions share; `plan` is None where an archive is not understood for certain."""
    job = work.job
    if rows_have_an_order(job.server, job.working):
        scheduler = LoadScheduler(1)
    elif plan is None:
        scheduler = LoadScheduler(JOBS)
    else:
        whole = {table for _, table in _tables(plan)}
        indexes = [index for index in plan.indexes if index.table in whole]
        scheduler = LoadScheduler(JOBS, _worth_a_session(plan, job.source.proof.tables), indexes)
    return Loading(job.server, job.working, scheduler, lambda size: sort_memory(size, work.most_memory))


def _worth_a_session(plan: DataPlan, proofs: Mapping[str, TableProof]) -> dict[bytes, int]:
    """Tables, as SQL, with many rows, and how many."""
    found = {}
    for entry, table in _tables(plan):
        names = (to_text(part) for part in (entry.schema, entry.name))
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
