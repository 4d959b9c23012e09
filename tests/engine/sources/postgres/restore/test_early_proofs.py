"""Proofs of rows that are taken before a restore has ended: the same ones, and only as long as they hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from engine.sources.postgres.proof.proof import TableProof
from engine.sources.postgres.proof.table_counters import EarlyProof, prove_early, unchanged
from engine.sources.postgres.proof.take_proof import take_proof
from engine.sources.postgres.restore.early_proofs import EarlyProofs
from engine.sources.postgres.restore.load import JOBS
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.hosts.away import eventually
from tests.engine.sources.postgres.backups import server_of

ODD = 'public."a ""b"" 표"'
Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def filled(connection: Connection) -> Iterator[Connection]:
    """A database in which two tables were written once."""
    connection.execute(f"CREATE TABLE {ODD} AS SELECT i AS n FROM generate_series(1, 1000) AS i".encode())
    connection.execute("CREATE TABLE plain AS SELECT 'x' || i AS t FROM generate_series(1, 10) AS i")
    yield connection


def early(
    server: Instance, database: str, building: threading.Event, *tables: str
) -> tuple[EarlyProofs, threading.Thread]:
    proofs = EarlyProofs(
        server_of(server), database, [table.encode() for table in tables], lambda: not building.is_set()
    )
    thread = threading.Thread(target=proofs.run)
    thread.start()
    return proofs, thread


def proven(server: Instance, database: str, *tables: str) -> dict[str, EarlyProof]:
    proofs, thread = early(server, database, threading.Event(), *tables)
    thread.join(20)
    assert not thread.is_alive()
    return proofs.proofs


def tables(found: dict[str, EarlyProof]) -> dict[str, TableProof]:
    return {name: early.table for name, early in found.items()}


def test_they_are_those_of_the_whole_proof(postgres_server: Instance, fresh_database: str, filled: Connection) -> None:
    found = tables(proven(postgres_server, fresh_database, ODD, "public.plain"))
    with server_of(postgres_server).connect(fresh_database) as reading:
        whole = take_proof(reading, fresh_database, "")
        assert found == whole.tables
        assert take_proof(reading, fresh_database, "", rows=found).tables == found
    assert [proof.rows for proof in found.values()] == [1000, 10]


def test_none_is_begun_while_all_sessions_build(
    postgres_server: Instance, fresh_database: str, filled: Connection
) -> None:
    ended = threading.Event()
    busy = [psycopg.connect(postgres_server.conninfo(fresh_database), autocommit=True) for _ in range(JOBS)]
    is_active = [threading.Thread(target=one.execute, args=("SELECT pg_sleep(1.5)",)) for one in busy]
    for thread in is_active:
        thread.start()
    with server_of(postgres_server).connect(fresh_database) as looking:
        count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        eventually(lambda: looking.execute(count).fetchone() == (JOBS,), "all sessions are at work")
    proofs, thread = early(postgres_server, fresh_database, ended, "public.plain")
    is_active[0].join(0.7)
    assert is_active[0].is_alive() and proofs.proofs == {}
    for each in is_active:
        each.join()
    thread.join(20)
    assert list(proofs.proofs) == ["public.plain"]
    for one in busy:
        one.close()


def test_none_is_begun_when_nobody_builds_any_more(
    postgres_server: Instance, fresh_database: str, filled: Connection
) -> None:
    ended = threading.Event()
    ended.set()
    proofs, thread = early(postgres_server, fresh_database, ended, "public.plain")
    thread.join(20)
    assert proofs.proofs == {}


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO plain VALUES ('new')",
        "UPDATE plain SET t = 'y' WHERE t = 'x1'",
        "DELETE FROM plain WHERE t = 'x1'",
        "TRUNCATE plain",
    ],
)
def test_what_was_written_since_is_not_believed(
    postgres_server: Instance, fresh_database: str, filled: Connection, change: str
) -> None:
    found = proven(postgres_server, fresh_database, ODD, "public.plain")
    filled.close()
    with server_of(postgres_server).connect(fresh_database) as reading:
        assert unchanged(reading, found) == tables(found)
    with psycopg.connect(postgres_server.conninfo(fresh_database)) as writing:
        writing.execute(change.encode())
    with server_of(postgres_server).connect(fresh_database) as reading:
        assert list(unchanged(reading, found)) == ['public."a ""b"" 표"']


def test_nothing_is_believed_while_another_session_is_there(
    postgres_server: Instance, fresh_database: str, filled: Connection
) -> None:
    found = proven(postgres_server, fresh_database, "public.plain")
    with server_of(postgres_server).connect(fresh_database) as reading:
        assert unchanged(reading, found) == {}
        filled.close()
        assert unchanged(reading, found) == tables(found)


def test_a_name_that_is_no_text_is_left_to_the_whole_proof(
    postgres_server: Instance, fresh_database: str, filled: Connection
) -> None:
    """As a database without an encoding may have."""
    with server_of(postgres_server).connect(fresh_database) as reading:
        assert prove_early(reading, b'public."\xe9"') == {}
        assert list(prove_early(reading, b"public.plain")) == ["public.plain"]
