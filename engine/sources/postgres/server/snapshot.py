"""One moment of a database, shared by the dump and the proof."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from engine.sources.postgres.server.raw_text import client_encoding
from engine.sources.postgres.server.server import Server, failed
from engine.sources.postgres.server.table_locks import in_the_way
from engine.streams.stderr import reason

_CANCEL_SECONDS, _WAKE_SECONDS = 5.0, 10.0
ISOLATION = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An exported snapshot: its `id` for `pg_dump --snapshot` and the session that holds it open, which locks no table.

    `encoding` is in what this database is read, by the session and by pg_dump.
    """

    id: str
    connection: psycopg.Connection[TupleRow]
    began: float
    encoding: str

    @property
    def held_seconds(self) -> float:
        return time.monotonic() - self.began


@contextmanager
def open_snapshot(server: Server, database: str, application: str) -> Iterator[Snapshot]:
    """Hold one moment of `database` until the block ends. It holds back vacuum meanwhile."""
    connection = server.connect(database, application=application)
    try:
        encoding = client_encoding(connection)
        connection.execute(f"SET client_encoding = '{encoding}'".encode())
        connection.execute("BEGIN")
        connection.execute(ISOLATION)
        connection.execute(f"SET LOCAL lock_timeout = '{server.settings.lock_wait_seconds:d}s'".encode())
        row = connection.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
        assert row is not None  # noqa: S101 - a function call returns one row
        yield Snapshot(str(row[0]), connection, time.monotonic(), encoding)
    except psycopg.errors.LockNotAvailable as error:
        raise in_the_way(server, database, f"{reason(str(error))}.") from None
    except psycopg.Error as error:
        raise failed(f"Reading database {database!r} of {server.address} failed", error) from None
    finally:
        _close(connection)


def _close(connection: psycopg.Connection[TupleRow]) -> None:
    """End the session, also while a thread still waits for its answer, as a proof does whose dump has failed.

    Closed under that thread it would take the whole process with it (libpq's connections are not for two threads):
    the server is asked to give up, and the socket is shut, which wakes the thread.
    """
    if not connection.lock.acquire(blocking=False):
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_CANCEL_SECONDS)
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)
        if not connection.lock.acquire(timeout=_WAKE_SECONDS):
            return  # it goes with the process
    try:
        connection.close()
    finally:
        connection.lock.release()
