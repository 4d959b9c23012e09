"""Keep the tables of a snapshot as they are until it ends.

TRUNCATE and a change that rewrites a table empty it for older snapshots too: a proof taken after one
would miss the rows that the dump has, and so would a second dump. A lock of the snapshot's own session
makes such a change wait. It is asked for without waiting, since whoever waits in front of pg_dump (a
change that waits for us) would never get on.
"""

from __future__ import annotations

from itertools import islice

import psycopg
from psycopg.rows import TupleRow

from engine.errors import TransientFailure

_TABLES = """
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""
_AT_ONCE = 1000


def held(connection: psycopg.Connection[TupleRow]) -> bool:
    """Whether every table could be locked (ACCESS SHARE) at once until the transaction ends; if not, none is."""
    connection.execute("SAVEPOINT holding")
    try:
        names = (row[0] for row in connection.execute(_TABLES).fetchall())
        while some := list(islice(names, _AT_ONCE)):
            tables = ", ".join(f"ONLY {name}" for name in some)
            connection.execute(f"LOCK TABLE {tables} IN ACCESS SHARE MODE NOWAIT".encode())
    except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
        connection.execute("ROLLBACK TO SAVEPOINT holding")
        return False
    return True


def must_hold(connection: psycopg.Connection[TupleRow], database: str) -> None:
    """Lock every table, or give up.

    Raises:
        TransientFailure: somebody changes a table, or waits to.
    """
    if not held(connection):
        raise TransientFailure(
            f"A table of database {database!r} is being changed (ALTER, TRUNCATE or the like), so that its dump and its "
            "proof would differ; run the backup again when that is done."
        )
