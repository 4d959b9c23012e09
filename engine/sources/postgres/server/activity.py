"""What a server's sessions do: whether one is at work although no byte moves, and whether a program's is there at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import psycopg

from engine.errors import PlatformOpsError
from engine.sources.postgres.server.server import Server

_LOOKS, _PAUSE_SECONDS = 5, 0.2
"""Between two statements a session is idle for a moment."""
_LIMITS = {"connect_timeout": "10", "tcp_user_timeout": "10000"}
_AT_WORK = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
 WHERE application_name = %s AND datname IN (%s, pg_catalog.current_database())
   AND state = 'active' AND COALESCE(wait_event_type, '') NOT IN ('Client', 'Lock')
"""


def is_active(server: Server, database: str, application: str) -> bool:
    """Whether a session of `application` works in `database`, or in the maintenance database, which it is made from.

    One that waits for its client or for a lock does not. No answer within seconds is a no.
    """
    try:
        with replace(server, extra=server.extra | _LIMITS).connect() as connection:
            connection.execute("SET statement_timeout = '10s'")
            for _ in range(_LOOKS):
                if connection.execute(_AT_WORK, (application, database)).fetchall()[0][0]:
                    return True
                time.sleep(_PAUSE_SECONDS)
    except (PlatformOpsError, psycopg.Error):
        pass
    return False


_THERE = "SELECT FROM pg_catalog.pg_stat_activity WHERE application_name = %s"
_GLANCE_SECONDS = 0.001


@contextmanager
def seen_on(server: Server, mark: str) -> Iterator[Callable[[], bool]]:
    """For a block that runs a client program under the application_name `mark`: whether its session was on this server.

    Raises:
        TransientFailure: the server cannot be asked.
    """
    seen, ended = threading.Event(), threading.Event()

    def look() -> None:
        with suppress(psycopg.Error):
            while not (ended.is_set() or seen.is_set()):
                if connection.execute(_THERE, (mark,)).fetchall():
                    seen.set()
                ended.wait(_GLANCE_SECONDS)

    with server.connect() as connection:
        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield seen.is_set
        finally:
            ended.set()
            watcher.join()
