"""Run migrations in a database, one at a time: an advisory lock, and golang-migrate's own table.

The table has one row, the version and whether it is dirty: written dirty before a file is run and clean after it
(golang-migrate, database/postgres). A file without BEGIN of its own runs in one transaction, as PostgreSQL does with
several statements that are sent at once; so what fails half way leaves nothing, and the row says dirty all the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from engine.config.clusters import MigrationSettings
from engine.errors import LockedByAnother, OperationFailed, TransientFailure
from engine.migrations.files import Change, Migration

Connection = psycopg.Connection[Any]
Migrations = Sequence[Migration]

_SALT = 1486364155
"""golang-migrate's, so that its lock and ours are one (database/util.go, GenerateAdvisoryLockId)."""
_TABLE = "schema_migrations"
_AS_BEFORE = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"
"""What a file SET in the session would hold for those after it, and for the table: pg_dump empties the search_path."""


@dataclass(frozen=True)
class State:
    """The version a database has; None: none was run yet. `dirty`: one began and did not end."""

    version: int | None
    dirty: bool


class Dirty(OperationFailed):
    """A migration failed or was cut off; somebody has to look before another may run."""


@contextmanager
def connected(settings: MigrationSettings, password: str) -> Iterator[Connection]:
    """A session of the database.

    Raises:
        TransientFailure: it does not answer, or does not take the password.
        OperationFailed: the session was lost, a right lacks, a lock was not to be had.
    """
    where = f"{settings.database} on {settings.host}:{settings.port}"
    arguments: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "dbname": settings.database,
        "user": settings.user,
        "password": password,
        "sslmode": settings.sslmode,
        "connect_timeout": 10,
        "application_name": "platform-ops migrate",
        "options": f"-c lock_timeout={int(settings.lock_seconds * 1000)}",
    }
    if settings.sslrootcert:
        arguments["sslrootcert"] = settings.sslrootcert
    try:
        connection = psycopg.connect(**arguments, autocommit=True)
    except psycopg.OperationalError as error:
        raise TransientFailure(
            f"The database {where} cannot be reached as {settings.user}: {_first_line(error)}"
        ) from None
    try:
        with connection:
            yield connection
    except psycopg.Error as error:
        raise OperationFailed(
            f"The database {where} refused {settings.user}, or its session was lost: {_first_line(error)} Look with "
            "`platformctl k8s migrate --status` at where it is."
        ) from None


def state(connection: Connection) -> State:
    """What was run so far."""
    if connection.execute("SELECT to_regclass(%s)", [_TABLE]).fetchone() == (None,):
        return State(None, False)
    row = connection.execute(f"SELECT version, dirty FROM {_TABLE} LIMIT 1").fetchone()  # noqa: S608 - our own name
    return State(int(row[0]), bool(row[1])) if row else State(None, False)


def require_clean(found: State) -> None:
    """Raises Dirty when a migration failed or was cut off."""
    if found.dirty:
        raise Dirty(
            f"The database is dirty at version {found.version}: that migration failed or was cut off. Look at what it did, put "
            "it right by hand, then say which version the database has with `platformctl k8s migrate --force VERSION`."
        )


@contextmanager
def locked(connection: Connection, settings: MigrationSettings) -> Iterator[None]:
    """Alone: golang-migrate's own advisory lock, which dies with the session.

    Raises:
        LockedByAnother: another migration runs.
    """
    key = lock_key(connection, settings)
    if connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone() != (True,):
        raise LockedByAnother(f"Another migration of {settings.database} on {settings.host} runs; wait for it.")
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # it dies with the session; what failed before is what is told
            connection.rollback()
            connection.execute("SELECT pg_advisory_unlock(%s)", [key])


def lock_key(connection: Connection, settings: MigrationSettings) -> int:
    """CRC-32 of schema, table and database, joined by NUL, times a salt, modulo 2^32."""
    schema = connection.execute("SELECT current_schema()").fetchone()
    names = [str(schema[0]) if schema else "", _TABLE, settings.database]
    return (zlib.crc32("\0".join(names).encode()) * _SALT) % 2**32


def run(connection: Connection, change: Change, statements: bytes) -> None:
    """Run a file; the caller holds the lock and has seen that the database is clean.

    Raises:
        OperationFailed: it failed; the database is dirty at its version.
    """
    note(connection, change.version, dirty=True)
    _execute(connection, change, statements)
    try:
        connection.execute(_AS_BEFORE)
        note(connection, change.version, dirty=False)
    except psycopg.Error as error:
        raise OperationFailed(
            f"The migration {change} was run, but that could not be written down: {_first_line(error)} The database says "
            f"that it is dirty at version {change.version}; look, and say where it is with --force VERSION."
        ) from None


def _execute(connection: Connection, change: Change, statements: bytes) -> None:
    try:
        connection.execute(statements)
        why = "it has a BEGIN and no COMMIT."
    except psycopg.Error as error:
        why = _first_line(error)
    else:
        if connection.info.transaction_status == TransactionStatus.IDLE:
            return
    with suppress(psycopg.Error):  # a file's own BEGIN leaves a transaction that takes nothing more
        connection.rollback()
    raise OperationFailed(
        f"The migration {change} failed: {why} The database is dirty at version {change.version}; those after it were "
        "not run. What it did in its own transaction is undone; look, correct it, and say where the database is with "
        "--force VERSION."
    )


def note(connection: Connection, version: int | None, *, dirty: bool) -> None:
    """Write the one row, in one transaction; no version and clean is no row, as golang-migrate has it (-1 while dirty)."""
    with connection.transaction():
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_TABLE} (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)"
        )
        connection.execute(f"TRUNCATE {_TABLE}")
        if version is not None or dirty:
            number = -1 if version is None else version
            connection.execute(f"INSERT INTO {_TABLE} (version, dirty) VALUES (%s, %s)", [number, dirty])  # noqa: S608


def _first_line(error: Exception) -> str:
    """The server's own message; never its DETAIL, which may quote a row."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return f"{primary or str(error).partition(chr(10))[0]}".strip().rstrip(".") + "."
