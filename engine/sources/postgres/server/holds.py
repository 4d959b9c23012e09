"""Whether one of the databases that every server has holds anything that its server did not give it."""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

from engine.sources.postgres.server.server import Server, failed
from engine.sources.postgres.server.sql_files import read_sql

OWN = ("postgres", "template1")
"""Every server has these. Images often keep an application in the first, and hardening changes the second."""
_HOLDS = read_sql(__name__, "holds")


def holds_anything(connection: psycopg.Connection[TupleRow], like: str = "") -> bool:
    """Objects, large objects, settings, privileges or comments that `initdb` did not make in the session's database,
    which it made as `like`, or under the name it has."""
    return bool(connection.execute(_HOLDS.encode(), {"like": like}).fetchall()[0][0])


def is_spare(server: Server, database: str, like: str = "") -> bool:
    """Whether one of the server's own databases is as every server has it, so that nothing is lost with it. `like` is
    its name where it was renamed.

    Raises:
        PlatformOpsError: it cannot be asked.
    """
    if (like or database) not in OWN:
        return False
    with server.connect(database) as connection:
        try:
            return not holds_anything(connection, like)
        except psycopg.Error as error:
            raise failed(f"Looking into {database!r} of {server.address} failed", error) from None
