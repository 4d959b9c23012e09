"""A snapshot's session ends with its block, also under a thread that waits for it."""

from __future__ import annotations

import os
import signal
import threading
import time

import psycopg
import pytest

from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.server.snapshot import open_snapshot
from tests.engine.sources.postgres.backups import execute, server_of

NAME = "snapshot of a test"
LEFT = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'"


@pytest.mark.parametrize("hung", [False, True], ids=["at work", "hung"])
def test_its_session_is_ended_under_a_thread_that_waits_for_it(
    postgres_server: Instance, fresh_database: str, hung: bool
) -> None:
    """As when a dump fails while the proof beside it is read. Closing the session there crashed the process."""
    errors: list[BaseException] = []

    def wait(connection: psycopg.Connection[tuple[object, ...]]) -> None:
        try:
            connection.execute("SELECT pg_sleep(600)")
        except psycopg.Error as error:
            errors.append(error)

    with (
        pytest.raises(RuntimeError, match="the dump failed"),
        open_snapshot(server_of(postgres_server), fresh_database, NAME) as snapshot,
    ):
        backend = snapshot.connection.info.backend_pid
        thread = threading.Thread(target=wait, args=(snapshot.connection,))
        thread.start()
        time.sleep(0.3)
        if hung:
            os.kill(backend, signal.SIGSTOP)
        raise RuntimeError("the dump failed")
    thread.join(5)
    assert not thread.is_alive()
    assert len(errors) == 1
    if hung:
        os.kill(backend, signal.SIGCONT)
    deadline = time.monotonic() + 10
    while execute(postgres_server, "postgres", LEFT) != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
