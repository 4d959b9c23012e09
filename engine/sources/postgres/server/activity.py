"""Whether a server is at work for a restore although no byte moves: indexes and keys are built after the last one."""

from __future__ import annotations

import time
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


def at_work(server: Server, database: str, application: str) -> bool:
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
