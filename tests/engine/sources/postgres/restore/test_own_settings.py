"""Rows are loaded, checked and refreshed under the database's own settings, whoever restores and from whatever set."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from engine.sources.postgres.restore.restore import RestoreChoice, restore_databases
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from tests.conftest import LIVE, MAJOR
from tests.engine.sources.postgres.backups import Backup, back_up, drill, execute, server_of, store_in

DATABASES = {
    "day": (
        "ALTER DATABASE day SET timezone = 'Asia/Seoul'",
        "CREATE TABLE sale (at timestamptz)",
        "INSERT INTO sale VALUES ('2024-01-01 20:00+00'), ('2024-01-01 10:00+00')",
        "SET timezone = 'Asia/Seoul'",
        "CREATE MATERIALIZED VIEW by_day AS SELECT at::date AS day, count(*) AS n FROM sale GROUP BY 1",
    ),
    "checked": (
        "ALTER DATABASE checked SET timezone = 'Asia/Seoul'",
        "ALTER DATABASE checked SET IntervalStyle = iso_8601",
        "ALTER DATABASE checked SET DateStyle = 'German, DMY'",
        "SET timezone = 'Asia/Seoul'", "SET IntervalStyle = iso_8601", "SET DateStyle = 'German, DMY'",
        "CREATE TABLE sale (at timestamptz, day date, CONSTRAINT right_day CHECK (day = at::date),"
        " told text, CONSTRAINT as_told CHECK (told = day::text), took interval, said text CHECK (said = took::text))",
        "INSERT INTO sale VALUES ('2024-01-01 20:00+00', '02.01.2024', '02.01.2024', '1 day -2 hours', 'P1DT-2H')",
        "CREATE MATERIALIZED VIEW told AS SELECT day::text AS a, took::text AS b, at::text AS c FROM sale",
    ),
    "tenant": (
        "ALTER DATABASE tenant SET house.tenant = 'north'", "SET house.tenant = 'north'",
        "CREATE TABLE ledger (tenant text CHECK (tenant = current_setting('house.tenant')))",
        "INSERT INTO ledger VALUES ('north')",
    ),
}  # fmt: skip
SHOWN = {
    "day": ("SELECT day::text, n FROM public.by_day ORDER BY 1", [("2024-01-01", 1), ("2024-01-02", 1)]),
    "checked": ("SELECT a, b, c FROM public.told", [("02.01.2024", "P1DT-2H", "02.01.2024 05:00:00 KST")]),
    "tenant": ("SELECT tenant FROM public.ledger", [("north",)]),
}
ENDING = (
    "ALTER ROLE ALL SET statement_timeout = '1ms'", "ALTER ROLE ALL SET idle_session_timeout = '300ms'",
    "ALTER ROLE ALL SET idle_in_transaction_session_timeout = '1ms'", "ALTER ROLE postgres SET lock_timeout = '1ms'",
    "ALTER ROLE ALL SET default_transaction_isolation = 'serializable'",
    "ALTER ROLE ALL SET temp_file_limit = 0", "ALTER ROLE postgres SET exit_on_error = on",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backup]:
    """A backup of a server whose settings end every session that does not set them itself."""
    with scratch_server(MAJOR, settings=LIVE) as source:
        for name, statements in DATABASES.items():
            execute(source, "postgres", f"CREATE DATABASE {name}")
            execute(source, name, *statements)
        execute(
            source,
            "day",
            "CREATE TABLE bulk AS SELECT g AS a, repeat('x', 100) AS b FROM generate_series(1, 100000) g",
            "ALTER DATABASE day SET maintenance_work_mem = '1MB'",  # an index spills
            "CREATE INDEX ON bulk (b, a)",
        )
        execute(source, "postgres", *ENDING)
        yield back_up(server_of(source), store_in(tmp_path_factory.mktemp("settings")))


@pytest.fixture(scope="module")
def target() -> Iterator[Instance]:
    """A server whose settings would end a restore."""
    with scratch_server(MAJOR) as server:
        execute(server, "postgres", *(statement.replace("'1ms'", "'300ms'") for statement in ENDING))
        yield server


def test_drills_of_both_kinds_of_set(made: Backup) -> None:
    for key in (made.cluster_key, *(made.key(name) for name in DATABASES)):
        report = drill(made.repository, key)
        assert (report.result, report.differences) == ("passed", ()), report.sentence
        assert not any("materialized" in line for line in report.missing)


@pytest.mark.parametrize("database", DATABASES)
def test_restores_of_both_kinds_of_set(made: Backup, target: Instance, database: str) -> None:
    query, rows = SHOWN[database]
    for key in (made.key(database), made.cluster_key):
        (restored,) = restore_databases(
            made.repository, server_of(target), [RestoreChoice(database, key)], in_place=True
        )
        with server_of(target).connect(database) as connection:
            assert connection.execute(query.encode()).fetchall() == rows
        assert not any("materialized" in line for line in restored.missing)


def test_a_stale_view_is_named(
    postgres_server: Instance, fresh_database: str, second_server: Instance, tmp_path: Path
) -> None:
    execute(
        postgres_server, fresh_database,
        "CREATE TABLE t AS SELECT 1 AS a", "CREATE MATERIALIZED VIEW fresh AS SELECT a FROM t",
        "CREATE MATERIALIZED VIEW stale AS SELECT a FROM t", "INSERT INTO t VALUES (2)", "REFRESH MATERIALIZED VIEW fresh",
    )  # fmt: skip
    made = back_up(server_of(postgres_server), store_in(tmp_path), [fresh_database])
    for key in (made.key(fresh_database), made.cluster_key):
        report = drill(made.repository, key)
        assert report.result == "passed"
        (line,) = (line for line in report.missing if "materialized" in line)
        assert "public.stale (1 rows before, 2 now) (a restore" in line
    choice = RestoreChoice(fresh_database, made.key(fresh_database))
    (restored,) = restore_databases(made.repository, server_of(second_server), [choice], in_place=True)
    assert any("public.stale (1 rows" in line for line in restored.missing)


_READ = (
    "SELECT FROM pg_stat_activity WHERE state = 'active' AND query ~ '(COPY|FROM).*bulk' AND pid <> pg_backend_pid()"
)
_WAITING = "SELECT pid FROM pg_locks WHERE relation = 'busy'::regclass AND NOT granted"


def _refresh_while_it_is_dumped(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Refresh the view once the rows before it are read, until a session that waited for it waits no more."""
    deadline, seen = time.monotonic() + 60, set[object]()
    while time.monotonic() < deadline and not connection.execute(_READ).fetchall():
        time.sleep(0.01)
    with connection.transaction():
        connection.execute("REFRESH MATERIALIZED VIEW busy")
        while time.monotonic() < deadline and not seen - (now := {row[0] for row in connection.execute(_WAITING)}):
            seen |= now
            time.sleep(0.01)


def test_a_view_that_nobody_could_read_is_named(postgres_server: Instance, fresh_database: str, tmp_path: Path) -> None:
    execute(
        postgres_server,
        fresh_database,
        "CREATE MATERIALIZED VIEW busy AS SELECT 1 AS a",
        "CREATE TABLE bulk AS SELECT g AS a, repeat('x', 100) AS b FROM generate_series(1, 300000) g",  # read before it
    )
    with psycopg.connect(postgres_server.conninfo(fresh_database), autocommit=True) as other:
        refreshing = threading.Thread(target=_refresh_while_it_is_dumped, args=(other,))
        refreshing.start()
        made = back_up(server_of(postgres_server), store_in(tmp_path), [fresh_database])
        refreshing.join()
    for key in (made.key(fresh_database), made.cluster_key):
        report = drill(made.repository, key)
        assert report.result == "passed"
        assert any("materialized views public.busy (they were being refreshed" in line for line in report.missing)
