"""The name of a restored database: beside the live one, or its own, which the live one gives up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.errors import ConfigurationError, PlatformOpsError, TransientFailure
from engine.sources.postgres.restore.choice import RestoreChoice
from engine.sources.postgres.restore.database import fitting_name
from engine.sources.postgres.restore.replay import APPLICATION
from engine.sources.postgres.server.rights import MAY_END
from engine.sources.postgres.server.server import Server, failed
from engine.streams.stderr import reason

_SWAP_TRIES = 5
_PAUSE_SECONDS = 0.05
_JOIN_SECONDS = 15.0
_END_ONE = """
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE pid = %s AND application_name = %s
"""


_END_ALL = """
SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a WHERE a.datname = ANY (%s) AND
"""


def free_name(server: Server, choice: RestoreChoice) -> str:
    """The name beside the live one: `<database>_restored_<time of the set>`.

    Raises:
        ConfigurationError: it is taken.
    """
    name = fitting_name(choice.database, f"_restored_{choice.key.created:%Y%m%d_%H%M%S}")
    with server.connect(application=APPLICATION) as connection:
        if _oid(connection, name):
            raise ConfigurationError(
                f"{server.address} already has a database {name!r}, restored from this set before; drop or rename it first."
            )
    return name


def made_meanwhile(server: Server, database: str) -> ConfigurationError:
    """Nobody confirmed that it is replaced, since it was not there when that was asked."""
    return ConfigurationError(
        f"{server.address} has had a database {database!r} since it was asked what is replaced, so it was left as it is; "
        "start again and confirm it, or restore beside it."
    )


def give_name(server: Server, working: str, final: str, *, in_place: bool, replace: bool = True) -> str | None:
    """Rename `working` to `final`; in place, a live one steps aside in the same transaction: its new name.

    Raises:
        ConfigurationError: there is a live one and it is not to be replaced.
        TransientFailure: sessions came back faster than they could be ended, or our own was lost; nothing was renamed
            unless the sentence says that this cannot be told.
        OperationFailed: the server refuses to rename; nothing was.
    """
    previous = fitting_name(final, f"_before_{datetime.now().astimezone():%Y%m%d_%H%M%S}") if in_place else None
    with closing(server.connect(application=APPLICATION, autocommit=False)) as connection:
        steps = [(working, final)]
        if previous is not None and _oid(connection, final):
            if not replace:
                raise made_meanwhile(server, final)
            steps.insert(0, (final, previous))
        else:
            previous = None
        restored, session = _oid(connection, working), connection.info.backend_pid
        connection.rollback()
        try:
            _rename(server, connection, steps)
        except psycopg.Error as error:
            connection.close()
            if not _has_name(server, session, restored, previous or final, final):
                sentence = f"Renaming to {final!r} on {server.address} failed and nothing was renamed"
                raise failed(sentence, error) from None
    return previous


def drop_spare(server: Server, database: str) -> bool:
    """Drop what held nothing and made place; whether that could be done. Nobody's session in it is ended."""
    name = sql.Identifier(database)
    try:
        with server.connect(application=APPLICATION) as connection:
            connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(name))
            connection.execute(sql.SQL("DROP DATABASE {}").format(name))
    except psycopg.Error:
        return False
    return True


def _rename(server: Server, connection: psycopg.Connection[TupleRow], steps: Sequence[tuple[str, str]]) -> None:
    """From one name to another, all in one transaction."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format
    working, final = steps[-1]
    for attempt in range(1, _SWAP_TRIES + 1):
        try:
            with _ending_sessions(server, (final, working)):
                for before, after in steps:
                    connection.execute(rename(sql.Identifier(before), sql.Identifier(after)))
                connection.commit()
            return
        except psycopg.errors.ObjectInUse as error:
            connection.rollback()
            if attempt == _SWAP_TRIES:
                raise failed(f"Database {final!r} could not be renamed, its sessions came back", error) from None


def _has_name(server: Server, session: int, restored: int, sign: str, final: str) -> bool:
    """Whether the database of the oid `restored` is `final`, once the lost `session` is over: it may be at its COMMIT.

    Raises:
        TransientFailure: it cannot be asked.
    """
    deadline = time.monotonic() + _JOIN_SECONDS
    try:
        with server.connect(application=APPLICATION) as connection:
            while connection.execute(_END_ONE, (session, APPLICATION)).fetchone():
                if time.monotonic() > deadline:
                    raise TransientFailure("Its session does not end.")
                time.sleep(_PAUSE_SECONDS)
            return _oid(connection, final) == restored
    except (PlatformOpsError, psycopg.Error) as error:
        why = reason(str(error))
        raise TransientFailure(
            f"The restored database is whole, but the session that renamed it to {final!r} on {server.address} was "
            f"lost, and whether it did cannot be asked ({why}) Look there: if there is a database {sign!r}, it did."
        ) from None


def _oid(connection: psycopg.Connection[TupleRow], database: str) -> int:
    """Its oid; 0 when there is none."""
    query = "SELECT oid::pg_catalog.int8 FROM pg_catalog.pg_database WHERE datname = %s"
    row = connection.execute(query, (database,)).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _ending_sessions(server: Server, databases: Sequence[str]) -> Iterator[None]:
    """End the databases' sessions while the block runs.

    ALTER DATABASE RENAME locks the database against new sessions first and then waits five seconds
    for the old ones to go, so no session can slip in, and nothing is left behind when we are killed.
    """
    done = threading.Event()

    def end() -> None:
        # Who cannot end them lets RENAME say that they are there.
        with (
            suppress(PlatformOpsError, psycopg.Error),
            server.connect(application=APPLICATION) as connection,
        ):
            while not done.wait(_PAUSE_SECONDS):
                connection.execute((_END_ALL + MAY_END).encode(), (list(databases),))

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_JOIN_SECONDS)
