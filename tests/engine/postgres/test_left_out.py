"""What stock tools leave out of a dump without a word: carried, or named in the manifest and by the drill."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from engine.postgres.backup import begin
from engine.postgres.drill import DrillReport, drill
from engine.postgres.embedded import client_programs
from engine.postgres.instance import Instance
from engine.postgres.left_out import left_out_of_archive, left_out_of_dump
from engine.postgres.scratch import scratch_server
from engine.sets.reading import read_manifest
from tests.conftest import LIVE, MAJOR
from tests.engine.postgres.backups import (
    Backup,
    back_up,
    execute,
    plain_files,
    run_script,
    server_of,
    store_in,
)

# What is in a database, and what is said of it. Each finding is one line.
NAMED = {
    "invalid index": (
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1); CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)",
        "the invalid indexes public.broken (pg_dump leaves them out: REINDEX or drop them)",
    ),
    "foreign table": (
        "CREATE FOREIGN DATA WRAPPER far; CREATE SERVER there FOREIGN DATA WRAPPER far; CREATE FOREIGN TABLE away (a int) SERVER there",
        "the rows of the foreign tables public.away (they live on another server: back that up)",
    ),
    "subscription": (
        "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1 password=canary' PUBLICATION p WITH (connect = false, slot_name = NONE);"
        "UPDATE pg_subscription SET subenabled = true",
        "the state of the subscriptions feed (they come back disabled: ALTER SUBSCRIPTION ... ENABLE)",
    ),
    "prepared transaction": (
        "CREATE TABLE t (a int); BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'it''s'",
        "the prepared transactions 'it''s' (what they changed is not in the dump: COMMIT or ROLLBACK PREPARED)",
    ),
    "objects of the system's schemas": (
        "CREATE FUNCTION pg_catalog.mine(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "objects added to the system's schemas: mine(integer) (pg_dump leaves them out: move them to a schema of their own)",
    ),
    "borrowed handler": (
        "CREATE TRUSTED LANGUAGE mylang HANDLER plpgsql_call_handler",
        "the languages mylang, whose handler pg_dump does not dump (the dump does not restore: drop them, or install them as an extension)",
    ),
    "check that reads a table": (
        """CREATE TABLE zone (name text); INSERT INTO zone VALUES ('a');
           CREATE FUNCTION known(z text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN EXISTS (SELECT 1 FROM public.zone WHERE name = z); END $$;
           CREATE TABLE address (zone text CONSTRAINT zone_known CHECK (known(zone))); INSERT INTO address VALUES ('a')""",
        "that rows pass the checks zone_known of public.address, whose function reads a table (the dump may not restore: use a trigger)",
    ),
    "rows of an extension's own table": (
        "CREATE EXTENSION vector; CREATE TABLE inside (a int); ALTER EXTENSION vector ADD TABLE inside; INSERT INTO inside VALUES (1)",
        "the rows of the extensions' own tables public.inside (pg_dump leaves them to CREATE EXTENSION)",
    ),
}  # fmt: skip
NOTHING = """
    CREATE TABLE t (a int, at date CHECK (extract(year FROM at) > 2000 AND plain(a))); CREATE INDEX ON t (a);
    CREATE TABLE by_list (a int) PARTITION BY LIST (a); CREATE INDEX ON ONLY by_list (a);
    CREATE EXTENSION vector; CREATE UNLOGGED TABLE u (a int); CREATE PUBLICATION p FOR ALL TABLES; SET client_min_messages = error;
"""


def said(server: Instance, database: str) -> list[str]:
    with server_of(server).connect(database) as connection:
        return left_out_of_dump(connection)


@pytest.mark.parametrize(("script", "line"), NAMED.values(), ids=NAMED)
def test_what_a_dump_leaves_out_is_named(
    postgres_server: Instance, fresh_database: str, script: str, line: str
) -> None:
    argv_script = script.replace(
        "CREATE UNIQUE INDEX CONCURRENTLY", "\\set ON_ERROR_STOP 0\nCREATE UNIQUE INDEX CONCURRENTLY"
    )
    try:
        run_script(postgres_server, fresh_database, argv_script)
        assert said(postgres_server, fresh_database) == [line]
    finally:
        if "PREPARE" in script:
            execute(postgres_server, fresh_database, "ROLLBACK PREPARED 'it''s'")
        if "SUBSCRIPTION" in script:
            execute(
                postgres_server,
                fresh_database,
                "UPDATE pg_subscription SET subenabled = false",
                "DROP SUBSCRIPTION feed",
            )


def test_what_is_carried_is_not_named(postgres_server: Instance, fresh_database: str) -> None:
    function = "CREATE FUNCTION plain(a int) RETURNS bool LANGUAGE sql AS 'SELECT extract(epoch from now()) > a -- from'"
    run_script(postgres_server, fresh_database, f"{function};{NOTHING}")
    assert said(postgres_server, fresh_database) == []
    with server_of(postgres_server).connect(fresh_database) as connection:
        assert left_out_of_archive(connection) == []


@pytest.fixture(scope="module")
def full_server() -> Iterator[Instance]:
    """A server of its own with all that does not belong to one database."""
    with scratch_server(MAJOR, settings=LIVE) as server:
        run_script(server, "postgres", SERVER)
        with (server.data / "pg_hba.conf").open("a") as file:
            file.write("host all app 10.0.0.0/8 scram-sha-256\n")
        run_script(server, "guarded", "CREATE TABLE t (a text[], i interval); INSERT INTO t VALUES ('{NULL}', '-1 day +02:00')")
        run_script(server, "postgres", "ALTER DATABASE closed ALLOW_CONNECTIONS false; ALTER DATABASE guarded SET IntervalStyle = sql_standard; ALTER DATABASE guarded SET default_transaction_read_only = on")
        # Last, since it holds for whoever connects from then on.
        run_script(server, "postgres", "ALTER ROLE postgres SET default_transaction_read_only = on; ALTER ROLE postgres SET IntervalStyle = sql_standard")
        yield server


SERVER = """
    CREATE ROLE app LOGIN PASSWORD 'x'; CREATE ROLE "a b\"\"c'd\\e%"; CREATE ROLE "two
CREATE ROLE lines;"; CREATE ROLE "--help" ROLE app;
    COMMENT ON ROLE app IS 'it''s
CREATE ROLE nobody;
a comment';
    ALTER ROLE app SET application_name = 'x
CREATE ROLE nobody;';
    ALTER ROLE ALL SET search_path = "$user", "A b", public; ALTER ROLE ALL SET work_mem = '5MB';
    ALTER ROLE ALL SET myapp.note = 'it''s';
    GRANT SET ON PARAMETER log_statement TO app WITH GRANT OPTION; SET ROLE app; GRANT SET ON PARAMETER log_statement TO PUBLIC; RESET ROLE;
    COMMENT ON ROLE pg_monitor IS 'watches';
    CREATE DATABASE closed TEMPLATE template0; CREATE DATABASE guarded TEMPLATE template0; CREATE DATABASE "--help" TEMPLATE template0;
    CREATE DATABASE "two
lines" TEMPLATE template0;
    CREATE DATABASE "a=b 'c' \"\"d\\e%" TEMPLATE template0 CONNECTION LIMIT 0;
    CREATE DATABASE bytes TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'; CREATE DATABASE western TEMPLATE template0 ENCODING LATIN1 LOCALE 'C';
    SET allow_in_place_tablespaces = on; CREATE TABLESPACE fast LOCATION '';
    CREATE DATABASE placed TEMPLATE template0 TABLESPACE fast; CREATE TABLE in_fast (a int) TABLESPACE fast;
    SELECT pg_create_physical_replication_slot('standby'); SELECT pg_replication_origin_create('elsewhere');
    ALTER SYSTEM SET log_statement = 'ddl'; ALTER SYSTEM SET shared_buffers = '17MB';
""".replace('\\"\\"', '""')
