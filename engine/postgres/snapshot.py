"""One moment of a database, shared by the dump and the proof."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from engine.postgres.holding import held
from engine.postgres.server import Server, failed

ISOLATION = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An exported snapshot: its `id` for `pg_dump --snapshot` and the session that holds it open.

    `held`: its tables stay as they are (see `holding`).
    """

    id: str
    connection: psycopg.Connection[TupleRow]
    began: float
    held: bool = False

    @property
    def held_seconds(self) -> float:
        return time.monotonic() - self.began


@contextmanager
def open_snapshot(server: Server, database: str, application: str) -> Iterator[Snapshot]:
    """Hold one moment of `database` until the block ends. It holds back vacuum meanwhile."""
    connection = server.connect(database, application=application)
    try:
        connection.execute("BEGIN")
        connection.execute(ISOLATION)
        row = connection.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
        assert row is not None  # noqa: S101 - a function call returns one row
        yield Snapshot(str(row[0]), connection, time.monotonic(), held(connection))
    except psycopg.Error as error:
        raise failed(f"Reading database {database!r} of {server.address} failed", error) from None
    finally:
        connection.close()
