"""Restore databases of a live server."""

from __future__ import annotations

from collections.abc import Sequence

from engine.sources.postgres.restore import operation
from engine.sources.postgres.restore.operation import RestoreRun
from tasks.artifacts import RestoreRecord
from tasks.opening import open_server, open_store, store_of
from tasks.steps import AsTasks


def plan_restore(
    record: RestoreRecord,
    store: str,
    databases: Sequence[str],
    everything: bool,
    which: str,
    in_place: bool,
    confirm: Sequence[str],
    despite_errors: bool = False,
) -> None:
    """Which set each database comes from, and that everything live whose place it takes was confirmed.

    Raises:
        ConfigurationError: nothing to restore was said, there is no such set, or a name was not confirmed.
    """
    operation.require_wanted(databases, everything, "name it in `databases`, or choose `everything` for all of them")
    server = open_server(record.server)
    repository = open_store(store_of(record.server, store))
    record.run = RestoreRun(
        repository, record.server, server, databases, which, in_place, despite_errors=despite_errors
    )
    record.run.plan(AsTasks())
    if in_place:
        record.run.require_confirmed(confirm, "`confirm`")


def restore(record: RestoreRecord) -> None:
    """One database after the other (engine/sources/postgres/restore/operation.py), each a task of its own."""
    if record.run:
        record.run.carry_out(AsTasks(), record)


def require_restored(record: RestoreRecord) -> None:
    """End the run as Failed when a database did not come back.

    Raises:
        PlatformOpsError: the first one's sentence, and how many others there are.
    """
    if record.run and (problem := record.run.problem()):
        raise problem
