"""Restore databases of a live server."""

from __future__ import annotations

from collections.abc import Sequence

from engine.sources.postgres.restore import operation
from engine.sources.postgres.restore.missing_roles import with_passwords
from engine.sources.postgres.restore.operation import RestoreRun
from engine.sources.postgres.restore.report import plan_report
from tasks.artifacts import RestoreRecord
from tasks.forms import chosen
from tasks.opening import open_server, open_store, store_of
from tasks.steps import AsTasks


def plan_restore(
    record: RestoreRecord,
    source: str,
    store: str,
    databases: Sequence[str],
    everything: bool,
    which: str,
    in_place: bool,
    despite_errors: bool = False,
    role_passwords: Sequence[str] = (),
) -> None:
    """Which set each database comes from, and what live one it takes the place of; the record shows it.

    Raises:
        ConfigurationError: nothing to restore was said, there is no such set, or a password is no reference.
    """
    operation.require_wanted(databases, everything, "name it in `databases`, or choose `everything` for all of them")
    server = with_passwords(open_server(record.server), role_passwords, "`role_passwords`")
    repository = open_store(store_of(source, store))
    run = RestoreRun(repository, source, server, databases, chosen(which), in_place, despite_errors=despite_errors)
    run.plan(AsTasks())
    record.report = plan_report(server.address, run.choices, in_place, run.live, run.failures, run.spare)
    record.run = run


def require_confirmed(record: RestoreRecord, confirm: Sequence[str]) -> None:
    """Everything live whose place is taken was named a second time; from here on the record tells what is done.

    Raises:
        ConfigurationError: a name was not confirmed.
    """
    if record.run and record.run.in_place:
        record.run.require_confirmed(confirm, "`confirm`")
    record.report = None


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
