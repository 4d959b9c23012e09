"""What pg_dump can read the backup can read: under the source's casts, with few locks, beside who empties tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from engine.sources.postgres.restore.restore import RestoreChoice, restore_databases
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from tests.conftest import LIVE, MAJOR
from tests.engine.sources.postgres.backups import back_up, drill, execute, server_of, store_in

# 10 * (12 + 8 workers and the like) locks and a little more: room for pg_dump's, not for those of all indexes.
FEW_LOCKS = {"max_locks_per_transaction": "10", "max_connections": "12", "max_prepared_transactions": "0"}
TABLES = 150
KEYS = "a int PRIMARY KEY, " + ", ".join(f"c{number} int UNIQUE" for number in range(11))
CASTS = """
SELECT pg_catalog.format('CREATE CAST (%s AS %s) WITH INOUT AS IMPLICIT', s.oid::regtype, t.oid::regtype)
  FROM pg_type s CROSS JOIN pg_type t
 WHERE s.oid <> t.oid AND s.typname IN ('oid', 'int2', 'int4', 'int8', 'name', 'bool', 'char', 'regclass', 'regtype',
       'regproc', 'regnamespace', 'xid', 'tid', 'timestamptz', 'float4', 'float8', 'numeric', 'bytea', 'pg_node_tree', 'aclitem', 'varchar')
   AND s.typnamespace = 'pg_catalog'::regnamespace AND t.typnamespace = 'pg_catalog'::regnamespace
   AND t.typname IN ({})
   AND NOT EXISTS (SELECT FROM pg_cast c WHERE c.castsource = s.oid AND c.casttarget = t.oid)
"""
"""Casts that a database may have for an older application's sake, and more."""
CALLED = """
SELECT pg_catalog.format('CREATE FUNCTION called(%1$s) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE ''called''; END$$', t),
       pg_catalog.format('CREATE CAST (%1$s AS text) WITH FUNCTION called(%1$s) AS ASSIGNMENT', t)
  FROM pg_catalog.unnest(ARRAY['oid', 'regclass', 'regtype', 'regprocedure', 'timestamptz', 'aclitem', 'int8', 'int4']) AS t
"""
"""Casts that are code of the database's own."""


@pytest.fixture(scope="module")
def crowded() -> Iterator[Instance]:
    with scratch_server(MAJOR, settings={**LIVE, **FEW_LOCKS}) as server:
        yield server


def test_locks_as_few_as_pg_dump_s(crowded: Instance, tmp_path: Path) -> None:
    execute(crowded, "postgres", "CREATE DATABASE many")
    execute(crowded, "many", *(f"CREATE TABLE t{number} ({KEYS})" for number in range(TABLES)))
    made = back_up(server_of(crowded), store_in(tmp_path), ["many"])
    assert made.facts("many").tables_proven == TABLES
    assert drill(made.repository, made.key("many")).result == "passed"


@pytest.mark.parametrize(
    "made_by",
    [CASTS.format("'text'"), CASTS.format("'text', 'int4', 'int8', 'name', 'varchar', 'bool'"), CALLED],
    ids=["to text", "to names and numbers", "by functions"],
)
def test_under_the_source_s_own_casts(crowded: Instance, tmp_path: Path, made_by: str) -> None:
    execute(crowded, "postgres", "DROP DATABASE IF EXISTS casts", "CREATE DATABASE casts")
    execute(
        crowded, "casts",
        "CREATE TABLE t (id int PRIMARY KEY, a text, b money, c oid)",
        "INSERT INTO t SELECT g, g::text, g::money, g::oid FROM generate_series(1, 1000) AS g",
        "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t",
        "CREATE INDEX ON t (a)", "COMMENT ON TABLE t IS 'x'", "CREATE SEQUENCE s", "SELECT lo_from_bytea(0, 'x')",
    )  # fmt: skip
    casts = [statement for row in execute(crowded, "casts", made_by) for statement in row]
    assert len(casts) > 10
    execute(crowded, "casts", *casts)
    made = back_up(server_of(crowded), store_in(tmp_path), ["casts"])
    for key in (made.key("casts"), made.cluster_key):
        report = drill(made.repository, key)
        assert (report.result, report.differences) == ("passed", ()), report.sentence
        restore_databases(made.repository, server_of(crowded), [RestoreChoice("casts", key)], in_place=True)


@contextmanager
def emptied(instance: Instance, database: str, seconds: float = 0.02) -> Iterator[list[int]]:
    """An application that fills and empties a small table all the time; how often it did."""
    done, ended = [0], threading.Event()

    def run() -> None:
        with psycopg.connect(instance.conninfo(database), autocommit=True) as connection:
            while not ended.wait(seconds):
                connection.execute("TRUNCATE queue")
                connection.execute("INSERT INTO queue SELECT generate_series(1, 10)")
                done[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        ended.set()
        thread.join()


def test_a_table_that_is_emptied_all_the_time(crowded: Instance, tmp_path: Path) -> None:
    """pg_dump ends well each time, and so do we; the application waits for no lock longer than for pg_dump's."""
    execute(crowded, "postgres", "CREATE DATABASE busy")
    execute(
        crowded, "busy",
        "CREATE TABLE queue (a int)", "CREATE TABLE t AS SELECT generate_series(1, 50000) AS a",
        *(f"CREATE TABLE other{number} (a int)" for number in range(20)),
    )  # fmt: skip
    repository = store_in(tmp_path)
    with emptied(crowded, "busy") as done:
        for cluster in (True, False):
            began = time.monotonic()
            made = [
                back_up(server_of(crowded, lock_wait_seconds=20), repository, ["busy"], cluster=cluster)
                for _ in range(4)
            ]
            assert time.monotonic() - began < 40
    assert done[0] > 20
    for one in made:
        assert drill(repository, one.key("busy")).result == "passed"


def test_a_table_that_goes_away_while_pg_dump_waits_for_it(crowded: Instance, tmp_path: Path) -> None:
    """That dump has failed, and another snapshot knows nothing of the table: it is taken within the run."""
    execute(crowded, "postgres", "CREATE DATABASE moving")
    execute(crowded, "moving", "CREATE TABLE kept AS SELECT 1 AS a", "CREATE TABLE gone (a int)")
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
    with psycopg.connect(crowded.conninfo("moving")) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("LOCK TABLE gone IN ACCESS EXCLUSIVE MODE")
        running = pool.submit(back_up, server_of(crowded), store_in(tmp_path), ["moving"])
        deadline = time.monotonic() + 30
        while execute(crowded, "postgres", waiting) == [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        holder.execute("DROP TABLE gone")
        holder.commit()
        made = running.result()
    assert made.facts("moving").tables_proven == 1
