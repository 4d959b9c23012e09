"""What a server does without a byte moving is waited for, and told from a session that waits itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from engine.sources.postgres.restore import replay
from engine.sources.postgres.restore.load import job as filling
from engine.sources.postgres.restore.restore import RestoreChoice, restore_databases
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.server.activity import is_active
from tests.engine.sources.postgres.backups import back_up, drill, execute, server_of, store_in

WHO = "at work in a test"
SLOW = """
CREATE FUNCTION slow(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.pg_sleep(5); RETURN a; END $$
"""


def test_indexes_that_take_long_are_no_stall(
    empty_server: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that builds them is in the pipe already."""
    execute(empty_server, "postgres", "CREATE DATABASE built")
    execute(empty_server, "built", SLOW, "CREATE TABLE t AS SELECT 1 AS a", "CREATE INDEX ON t (slow(a))")
    server, repository = server_of(empty_server), store_in(tmp_path)
    made = back_up(server, repository)
    for module in (replay, filling):
        monkeypatch.setattr(module, "STALL_SECONDS", 3.0)
    report = drill(repository, made.key("built"))
    assert report.result == "passed", report.sentence
    (one,) = restore_databases(repository, server, [RestoreChoice("built", made.cluster_key)])
    assert one.rows == 1


@contextmanager
def running(session: psycopg.Connection[TupleRow], statement: str) -> Iterator[None]:
    """While the session runs this; it is cancelled at the end."""

    def run() -> None:
        with suppress(psycopg.errors.QueryCanceled):
            session.execute(statement.encode())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        session.cancel_safe()
        thread.join()
        session.rollback()


def test_who_is_at_work_and_who_waits(empty_server: Instance) -> None:
    server = server_of(empty_server)

    def seen() -> bool:
        return is_active(server, "postgres", WHO)

    with (
        psycopg.connect(empty_server.conninfo(application_name=WHO)) as session,
        psycopg.connect(empty_server.conninfo(application_name="another's")) as other,
    ):
        assert not seen()
        session.execute("CREATE TABLE t (a int)")
        session.commit()
        with session.cursor().copy("COPY t FROM STDIN") as copy:
            copy.write(b"1\n")
            assert not seen(), "it waits for its client"
        session.commit()
        other.execute("LOCK TABLE t")
        with running(session, "SELECT FROM t"):
            assert not seen(), "it waits for a lock"
        with running(other, "SELECT pg_sleep(60)"):
            assert not seen(), "it is another's"
        with running(session, "SELECT pg_sleep(60)"):
            assert seen()


def test_a_server_that_is_gone_is_not_at_work(empty_server: Instance) -> None:
    server = server_of(empty_server)
    empty_server.stop(immediate=True)
    began = time.monotonic()
    assert not is_active(server, "postgres", WHO)
    assert time.monotonic() - began < 5
