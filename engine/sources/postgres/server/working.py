"""Databases that a restore is filling: they have a name of their own until they are proven."""

from __future__ import annotations

import secrets

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.sources.postgres.server.server import Server, failed

WORKING_PREFIX = "platform-ops at work "
"""Databases of this name are ours and unfinished; only the holder of the backup lock makes or drops them."""


def working_name() -> str:
    return WORKING_PREFIX + secrets.token_hex(8)


def drop_working(server: Server, prefix: str = WORKING_PREFIX) -> None:
    """Drop the databases that a restore did not finish: its own by its name, all only as holder of the backup lock.

    Raises:
        OperationFailed: one cannot be dropped.
    """
    with server.connect() as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_catalog.pg_database WHERE pg_catalog.starts_with(datname, %s)",
            (prefix,),
        ).fetchall()
        for (name,) in rows:
            database = sql.Identifier(name)
            try:
                _drop_subscriptions(server, connection, name)
                connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(database))
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
            except psycopg.Error as error:
                raise failed(f"Dropping {name!r}, an unfinished restore, failed", error) from None


_SUBSCRIPTIONS = """
SELECT s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = %s
"""


def _drop_subscriptions(server: Server, connection: psycopg.Connection[TupleRow], name: str) -> None:
    """A database that has one cannot be dropped. Their slots, which are the source's, are left alone."""
    found = connection.execute(_SUBSCRIPTIONS, (name,)).fetchall()
    if not found:
        return  # it may be one that nobody can connect to, half dropped
    with server.connect(name) as inside:
        for (subscription,) in found:
            for statement in (
                "ALTER SUBSCRIPTION {} DISABLE",
                "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
                "DROP SUBSCRIPTION {}",
            ):
                inside.execute(sql.SQL(statement).format(sql.Identifier(subscription)))
