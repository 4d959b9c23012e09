"""Restore databases of a live server."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task

from engine.errors import ConfigurationError, failed_in_part
from engine.postgres import restore
from engine.postgres.restore import RestoreChoice, RestoredDatabase
from tasks.artifacts import RestoreRecord
from tasks.opening import open_server, open_store, store_of
from tasks.running import known, logged_progress, worth_retrying


def check_wanted(databases: Sequence[str], everything: bool) -> None:
    """What to restore was said: a form that was submitted as it came restores nothing.

    Raises:
        ConfigurationError: neither names nor everything, or both.
    """
    if everything == bool(databases):
        raise ConfigurationError(
            "Say what to restore: name it in `databases`, or choose `everything` for all of them."
        )


def check_confirmation(databases: Sequence[str], in_place: bool, confirm: str) -> None:
    """In place, the one database to be replaced is named a second time.

    Raises:
        ConfigurationError: it is not.
    """
    if in_place and (len(databases) != 1 or confirm != databases[0]):
        raise ConfigurationError(
            "In place replaces a live database: name exactly one database and repeat its name in `confirm`."
        )


@task(
    task_run_name="choose the sets to restore",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=worth_retrying,
)
def choose_sets(server: str, store: str, databases: Sequence[str], which: str) -> tuple[RestoreChoice, ...]:
    target = open_store(store_of(open_server(server), store))
    return restore.choose(target.catalogue(server), target, server, databases, which)


def restore_one(
    record: RestoreRecord, choice: RestoreChoice, server: str, store: str, in_place: bool
) -> None:
    """Restore one database and put into the record what became of it."""
    result = restore_database(choice, server, store, in_place, return_state=True).result(
        raise_on_failure=False
    )
    if isinstance(result, RestoredDatabase):
        record.restored.append(result)
    else:
        record.failures.append((choice.database, known(result)))
    record.goes_on()


def require_restored(record: RestoreRecord) -> None:
    """End the run as Failed when a database did not come back.

    Raises:
        PlatformOpsError: the first one's sentence, and how many others there are.
    """
    if failed := failed_in_part(record.failures, "restored", len(record.restored), "restored"):
        raise failed


@task(task_run_name="restore {choice.database}")
def restore_database(choice: RestoreChoice, server: str, store: str, in_place: bool) -> RestoredDatabase:
    """Restore one database under a working name, prove it, then give it its name."""
    opened = open_server(server)
    target = open_store(store_of(opened, store))
    return restore.restore_databases(target, opened, [choice], in_place=in_place, progress=logged_progress())[
        0
    ]
