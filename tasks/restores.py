"""Restore databases of a live server."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task

from engine.errors import ConfigurationError
from engine.postgres import restore
from engine.postgres.restore import RestoreChoice, RestoredDatabase
from tasks.opening import open_server, open_store, store_of
from tasks.running import logged_progress, worth_retrying


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


@task(task_run_name="restore {choice.database}")
def restore_database(choice: RestoreChoice, server: str, store: str, in_place: bool) -> RestoredDatabase:
    """Restore one database under a working name, prove it, then give it its name."""
    opened = open_server(server)
    target = open_store(store_of(opened, store))
    return restore.restore_databases(target, opened, [choice], in_place=in_place, progress=logged_progress())[
        0
    ]
