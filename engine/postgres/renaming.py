"""The name of a restored database: beside the live one, or its own, which the live one gives up."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg
from psycopg import sql

from engine.errors import ConfigurationError
from engine.postgres.database import fitting_name
from engine.postgres.replay import APPLICATION
from engine.postgres.restore_choice import RestoreChoice
from engine.postgres.server import Server, failed

_SWAP_TRIES = 5
_PAUSE_SECONDS = 0.05
_JOIN_SECONDS = 15.0


def free_name(server: Server, choice: RestoreChoice) -> str:
    """The name beside the live one: `<database>_restored_<time of the set>`.

    Raises:
        ConfigurationError: it is taken.
    """
    name = fitting_name(choice.database, f"_restored_{choice.key.created:%Y%m%d_%H%M%S}")
    with server.connect(application=APPLICATION) as connection:
        if _exists(connection, name):
            raise ConfigurationError(
                f"{server.address} already has a database {name!r}, restored from this set before; drop or rename it first."
            )
    return name


def give_name(server: Server, working: str, final: str, *, in_place: bool) -> str | None:
    """Rename `working` to `final`; in place, a live one steps aside in the same transaction: its new name.

    Raises:
        TransientFailure: sessions came back faster than they could be ended; nothing was renamed.
    """
    previous = (
        fitting_name(final, f"_before_{datetime.now().astimezone():%Y%m%d_%H%M%S}") if in_place else None
    )
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format
    with server.connect(application=APPLICATION, autocommit=False) as connection:
        steps = [rename(sql.Identifier(working), sql.Identifier(final))]
        if previous is not None and _exists(connection, final):
            steps.insert(0, rename(sql.Identifier(final), sql.Identifier(previous)))
        else:
            previous = None
        connection.rollback()
        for attempt in range(1, _SWAP_TRIES + 1):
            try:
                with _ending_sessions(server, (final, working)):
                    for step in steps:
                        connection.execute(step)
                    connection.commit()
                return previous
            except psycopg.errors.ObjectInUse as error:
                connection.rollback()
                if attempt == _SWAP_TRIES:
                    raise failed(
                        f"Database {final!r} could not be renamed, its sessions came back", error
                    ) from None
    return None


def _exists(connection: psycopg.Connection[tuple[object, ...]], database: str) -> bool:
    query = "SELECT FROM pg_catalog.pg_database WHERE datname = %s"
    return connection.execute(query, (database,)).fetchone() is not None


@contextmanager
def _ending_sessions(server: Server, databases: Sequence[str]) -> Iterator[None]:
    """End the databases' sessions while the block runs.

    ALTER DATABASE RENAME locks the database against new sessions first and then waits five seconds
    for the old ones to go, so no session can slip in, and nothing is left behind when we are killed.
    """
    done = threading.Event()
    statement = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = ANY (%s)"

    def end() -> None:
        with server.connect(application=APPLICATION) as connection:
            while not done.wait(_PAUSE_SECONDS):
                connection.execute(statement, (list(databases),))

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_JOIN_SECONDS)
