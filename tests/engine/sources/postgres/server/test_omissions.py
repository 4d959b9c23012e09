"""What stock tools leave out of a dump without a word: carried, or named in the manifest and by the drill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.repository.manifest import read_manifest
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.postgres.server.omissions import omitted_from_archive, omitted_from_dump
from tests.conftest import LIVE, MAJOR
from tests.engine.sources.postgres.backups import (
    Backup,
    back_up,
    drill,
    execute,
    plain_files,
    run_script,
    server_of,
    store_in,
)

# What is in a database, and what is said of it. Each finding is one line.
SQL = Path(__file__).parents[1] / "sql"
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
    "a DETACH CONCURRENTLY that was cancelled": (
        "CREATE TABLE whole (a int) PARTITION BY LIST (a); CREATE TABLE part PARTITION OF whole FOR VALUES IN (1);"
        "UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'part'::regclass",
        "that the partitions public.part are being detached (they come back attached: finish it with DETACH PARTITION ... FINALIZE)",
    ),
    "privileges where pg_dump does not look": (
        "REVOKE SELECT ON information_schema.tables FROM PUBLIC; GRANT CREATE ON SCHEMA information_schema TO pg_monitor;"
        "REVOKE USAGE ON LANGUAGE sql FROM PUBLIC; CREATE TABLE rowed (a int); REVOKE USAGE ON TYPE rowed FROM PUBLIC;"
        "CREATE TYPE span AS RANGE (subtype = int); REVOKE EXECUTE ON FUNCTION span(int, int) FROM PUBLIC",
        "privileges of information_schema.tables, public.span(integer,integer), the language sql, the row type of public.rowed, "
        "the schema information_schema (pg_dump leaves them out: grant or revoke them again)",
    ),
    "a built-in text search configuration": (
        "ALTER TEXT SEARCH CONFIGURATION english ALTER MAPPING FOR asciiword WITH simple",
        "changes of the built-in text search configurations english (make a copy of your own and change that)",
    ),
    "a dropped language": (
        "DROP EXTENSION plpgsql",
        "that the language plpgsql was dropped (every new database has it: drop it again)",
    ),
    "comments where pg_dump does not look": (
        "CREATE TABLE mother (a int CONSTRAINT positive CHECK (a > 0)); CREATE TABLE child () INHERITS (mother);"
        "COMMENT ON CONSTRAINT positive ON child IS 'x'; COMMENT ON TYPE mother IS 'x'; CREATE VIEW seen AS SELECT 1 AS a;"
        """COMMENT ON RULE "_RETURN" ON seen IS 'x'; COMMENT ON EXTENSION plpgsql IS 'x'""",
        "comments on positive of public.child, public.mother, the extension plpgsql, the rule of public.seen "
        "(pg_dump leaves them out)",
    ),
    "check that reads a table": (
        """CREATE TABLE zone (name text); INSERT INTO zone VALUES ('a');
           CREATE FUNCTION known(z text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN EXISTS (SELECT 1 FROM public.zone WHERE name = z); END $$;
           CREATE TABLE address (zone text CONSTRAINT zone_known CHECK (known(zone))); INSERT INTO address VALUES ('a')""",
        "that rows pass the checks zone_known of public.address, whose function reads a table (the dump may not restore: use a trigger)",
    ),
    "checks that the time decides": (
        """CREATE TABLE offer (id int, ends_at timestamptz CONSTRAINT not_over CHECK (ends_at > now()), begun timestamptz CHECK (begun <= now()),
           soon timestamptz CHECK (soon < now() + interval '1 day'), day date CHECK (day <= CURRENT_DATE), late timestamptz CHECK (late > 'epoch'));
           ALTER TABLE offer ADD CONSTRAINT later CHECK (ends_at > clock_timestamp()) NOT VALID; CREATE DOMAIN mine AS text CONSTRAINT my_own CHECK (VALUE = CURRENT_USER);
           CREATE FUNCTION is_due(at timestamptz) RETURNS bool LANGUAGE sql AS 'SELECT at < current_date';
           CREATE FUNCTION body(at timestamptz) RETURNS bool LANGUAGE sql BEGIN ATOMIC SELECT at > now(); END;
           CREATE TABLE due (at timestamptz CONSTRAINT due CHECK (is_due(at)), of timestamptz CONSTRAINT atomic CHECK (body(of))) PARTITION BY RANGE (at);
           CREATE TABLE due_1 PARTITION OF due DEFAULT""",
        "that rows pass the checks atomic of public.due, due of public.due, my_own of public.mine, not_over of public.offer, which depend on the time or "
        "the session of the restore (it may refuse rows that are stored: use a trigger, or restore with --despite-errors)",
    ),
    "checks that the session decides": (
        """CREATE TABLE sale (at timestamptz CONSTRAINT seen CHECK (at IS NOT NULL), day date CONSTRAINT same_day CHECK (day = at::date),
           told text CONSTRAINT as_told CHECK (told = at::text), typed text CONSTRAINT a_date CHECK (typed::date > '2000-01-01'), mine text CONSTRAINT tenant
           CHECK (mine = current_setting('house.tenant', true)), span interval, CONSTRAINT a_day CHECK (at < at + '1 day'::interval), CONSTRAINT an_hour CHECK (at < at + '01:00'::interval));
           CREATE DOMAIN local_day AS timestamptz CONSTRAINT midnight CHECK (VALUE = date_trunc('day', VALUE)); CREATE FUNCTION due(at timestamptz) RETURNS bool
           LANGUAGE plpgsql AS 'BEGIN RETURN at < now(); END'; CREATE FUNCTION is_due(at timestamptz) RETURNS bool LANGUAGE sql AS 'SELECT public.due(at)';
           CREATE FUNCTION atomic(at timestamptz) RETURNS bool LANGUAGE sql BEGIN ATOMIC SELECT public.is_due(at); END; ALTER TABLE sale ADD CONSTRAINT due CHECK (atomic(at))""",
        "that rows pass the checks a_date of public.sale, a_day of public.sale, as_told of public.sale, due of public.sale, midnight of public.local_day, "
        "same_day of public.sale and 1 more, which depend on the time or "
        "the session of the restore (it may refuse rows that are stored: use a trigger, or restore with --despite-errors)",
    ),
    "views of the moment": (
        """CREATE TABLE item (at timestamptz); CREATE VIEW fresh AS SELECT at FROM item WHERE at > now(); CREATE FUNCTION today() RETURNS date LANGUAGE sql AS 'SELECT current_date';
           CREATE FUNCTION yesterday() RETURNS date LANGUAGE sql AS 'SELECT public.today() - 1'; CREATE MATERIALIZED VIEW late AS SELECT at FROM item WHERE at < now();
           CREATE MATERIALIZED VIEW of_view AS SELECT at FROM fresh; CREATE MATERIALIZED VIEW called AS SELECT yesterday(); CREATE MATERIALIZED VIEW by_day AS
           SELECT at::date AS day, count(*) FROM item GROUP BY 1; CREATE MATERIALIZED VIEW dated AS SELECT CURRENT_DATE AS day WITH NO DATA""",
        "the contents of the materialized views public.called, public.late, public.of_view, which read the clock or the session "
        "(a restore computes them again)",
    ),
    "values that a restore computes again": (
        """CREATE TABLE rate (v int); CREATE FUNCTION as_if(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM public.rate); END $$;
           CREATE FUNCTION today(a int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT extract(day FROM now())::int';
           CREATE FUNCTION plain(a int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT a + 1'; CREATE FUNCTION through(a int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT public.as_if(a)';
           CREATE TABLE t (a int, b int GENERATED ALWAYS AS (as_if(a)) STORED, c int GENERATED ALWAYS AS (plain(a)) STORED); CREATE INDEX by_day ON t (today(a)); CREATE INDEX by_call ON t (through(a))""",
        "the values of b of public.t, the index public.by_call, the index public.by_day, whose function reads the clock, the session or a table "
        "(a restore computes them again: what it reads must be an argument)",
    ),
    "function that needs a search_path": (
        """CREATE TABLE item (a int); CREATE FUNCTION items() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM item';
           CREATE FUNCTION named() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.item'; CREATE FUNCTION pathed() RETURNS bigint
           LANGUAGE sql SET search_path = public AS 'SELECT count(*) FROM item';
           CREATE MATERIALIZED VIEW m AS SELECT items(); CREATE MATERIALIZED VIEW fine AS SELECT named(), pathed()""",
        "that the functions public.items() of public.m find their tables (a materialized view is refreshed without a "
        "search_path: give the function one, or name the schema in it)",
    ),
    "owner that may not read": (
        """CREATE TABLE sale (a int, b int); GRANT SELECT (a) ON sale TO pg_monitor; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
           REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC; CREATE MATERIALIZED VIEW n AS SELECT b FROM sale; CREATE MATERIALIZED VIEW ok AS SELECT a FROM sale;
           CREATE MATERIALIZED VIEW called AS SELECT f(); ALTER MATERIALIZED VIEW n OWNER TO pg_monitor; ALTER MATERIALIZED VIEW ok OWNER TO pg_monitor;
           ALTER MATERIALIZED VIEW called OWNER TO pg_monitor""",
        "the contents of the materialized views public.called, public.n, whose owner may not read what they are made of "
        "(a restore cannot refresh them: grant it)",
    ),
    "constraint that is switched off": (
        """CREATE TABLE one (id int PRIMARY KEY); CREATE TABLE many (one int CONSTRAINT there REFERENCES one DEFERRABLE, two int REFERENCES one);
           ALTER TABLE many DISABLE TRIGGER ALL; CREATE TABLE split (one int REFERENCES one) PARTITION BY LIST (one); CREATE TABLE part PARTITION OF split DEFAULT""",
        "that the constraints many_two_fkey of public.many, there of public.many are not enforced (their triggers are disabled; in a restore they are enforced)",
    ),
    "event trigger that fires always": (
        """CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; CREATE FUNCTION log() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
           CREATE EVENT TRIGGER loud ON ddl_command_end EXECUTE FUNCTION log(); ALTER EVENT TRIGGER loud ENABLE ALWAYS""",
        "silence of the event triggers loud, which fire when a restore refreshes materialized views (they are ENABLE ALWAYS or REPLICA)",
    ),
    "no schema public": (
        "DROP SCHEMA public",
        "that the schema public was dropped (it comes back, empty: drop it again)",
    ),
    "role of sessions": (
        "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET role = pg_monitor'; END $$",
        "a session's role: the database sets role=pg_monitor (grants of other roles do not restore: ALTER DATABASE ... RESET role)",
    ),
    "rows of an extension's own table": (
        "CREATE EXTENSION vector; CREATE TABLE inside (a int); ALTER EXTENSION vector ADD TABLE inside; INSERT INTO inside VALUES (1)",
        "the rows of the extensions' own tables public.inside (pg_dump leaves them to CREATE EXTENSION)",
    ),
}  # fmt: skip
NOTHING = """
    CREATE TABLE t (a int, at date CHECK (extract(year FROM at) > 2000 AND plain(a))); CREATE INDEX ON t (a);
    CREATE TABLE by_list (a int) PARTITION BY LIST (a); CREATE INDEX ON ONLY by_list (a);
    CREATE TYPE mood AS ENUM ('glad'); CREATE TABLE usual (name varchar(9) CHECK (name::text = ANY (ARRAY['a', 'b'])), mood mood CHECK (mood::text = lower(mood::text)),
      tags text[] CHECK (array_to_string(tags, ',') <> ''), doc jsonb CHECK (jsonb_typeof(doc) = 'object' AND to_jsonb(name) <> doc), n int CHECK (concat(n, name) <> '' AND n::text <> ''),
      since timestamptz, til timestamptz CHECK (til > '2020-01-01'), CHECK (since < til), CHECK (til < since + interval '2 hours'), CHECK (octet_length(doc::text) < 9999),
      CHECK (to_tsvector('english', name) IS NOT NULL), CHECK (extract(epoch FROM til - since) > 0), mail text CHECK (mail ~* '^.+@.+$' AND length(mail) < 99));
    CREATE MATERIALIZED VIEW totals AS SELECT name, count(*), max(til)::date AS day, plain(1) FROM usual GROUP BY 1;
    CREATE EXTENSION vector; CREATE UNLOGGED TABLE u (a int); CREATE PUBLICATION p FOR ALL TABLES; SET client_min_messages = error;
"""


def message(server: Instance, database: str) -> list[str]:
    with server_of(server).connect(database) as connection:
        return omitted_from_dump(connection)


@pytest.mark.parametrize(("script", "line"), NAMED.values(), ids=NAMED)
def test_what_a_dump_leaves_out_is_named(
    postgres_server: Instance, fresh_database: str, script: str, line: str
) -> None:
    argv_script = script.replace(
        "CREATE UNIQUE INDEX CONCURRENTLY", "\\set ON_ERROR_STOP 0\nCREATE UNIQUE INDEX CONCURRENTLY"
    )
    try:
        run_script(postgres_server, fresh_database, argv_script)
        assert message(postgres_server, fresh_database) == [line]
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
    function = "CREATE FUNCTION plain(a int) RETURNS bool LANGUAGE sql AS 'SELECT extract(epoch from date ''2000-01-01'') > a -- from'"
    run_script(postgres_server, fresh_database, f"{function};{NOTHING}")
    assert message(postgres_server, fresh_database) == []
    with server_of(postgres_server).connect(fresh_database) as connection:
        assert omitted_from_archive(connection) == []


@pytest.fixture(scope="module")
def full_server() -> Iterator[Instance]:
    """A server of its own with all that does not belong to one database."""
    with scratch_server(MAJOR, settings=LIVE) as server:
        run_script(server, "postgres", (SQL / "server.sql").read_text(encoding="utf8"))
        with (server.data / "pg_hba.conf").open("a") as file:
            file.write("host all app 10.0.0.0/8 scram-sha-256\n")
        yield server


@pytest.fixture(scope="module")
def full_backup(full_server: Instance, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    return back_up(server_of(full_server), store_in(tmp_path_factory.mktemp("full")))


def test_what_a_server_has_and_a_set_has_not_is_named(full_backup: Backup) -> None:
    assert read_manifest(full_backup.repository, full_backup.cluster_key).missing == (
        "the tablespaces fast (what is in them is restored into the default one)",
        "the replication slots standby (make them again on the restored server)",
        "the replication origins elsewhere (make them again on the restored server)",
        "settings and comments of the built-in roles pg_monitor (pg_dumpall leaves them out)",
        "the server's configuration: log_statement, shared_buffers, pg_hba.conf (a restore does not set it; "
        "000-globals holds it as comments)",
        "database closed: it takes no connections (ALLOW_CONNECTIONS false)",
        "database two\nlines: its name holds a line break, which pg_dump refuses (rename it)",
    )


def test_the_configuration_is_carried_as_comments(full_backup: Backup) -> None:
    text = plain_files(full_backup.repository, full_backup.cluster_key)["000-globals.sql.gz"].decode()
    for line in (
        "-- shared_buffers = '17MB'",
        "-- log_statement = 'ddl'",
        "-- pg_hba.conf: host all app 10.0.0.0/8 scram-sha-256",
    ):
        assert f"\n{line}\n" in text


def test_a_whole_server_comes_back_and_the_drill_says_what_is_missing(full_backup: Backup) -> None:
    report = drill(full_backup.repository, full_backup.cluster_key)
    assert (report.result, report.differences) == ("passed", ()), report.sentence
    assert {row.name for row in report.compared} == {
        "template1", "postgres", "guarded", "--help", "a=b 'c' \"d\\e%", "bytes", "western", "placed",
    }  # fmt: skip
    assert "not in the set: the tablespaces fast" in report.sentence
    assert report.missing == read_manifest(full_backup.repository, full_backup.cluster_key).missing


def test_a_guarded_database_says_what_pg_restore_needs(full_backup: Backup) -> None:
    key = full_backup.key("guarded")
    assert read_manifest(full_backup.repository, key).missing == (
        'guarded: with pg_restore alone, set PGOPTIONS="-c default_transaction_read_only=off '
        '-c array_nulls=on -c lc_monetary=C" (it sets or needs that)',
    )
    report = drill(full_backup.repository, key)
    assert (report.result, report.differences) == ("passed", ()), report.sentence


def test_the_drill_says_which_constraint_refused_the_rows(
    postgres_server: Instance, fresh_database: str, store_folder: Path
) -> None:
    run_script(postgres_server, fresh_database, NAMED["check that reads a table"][0])
    repository = store_in(store_folder)
    made = back_up(server_of(postgres_server), repository, [fresh_database])
    for key in (made.key(fresh_database), made.cluster_key):
        report = drill(repository, key)
        assert report.result == "failed"
        assert 'violates check constraint "zone_known"' in report.sentence
        assert any("zone_known" in line for line in report.missing)


def test_a_language_with_a_borrowed_handler_fails_the_drill(
    postgres_server: Instance, fresh_database: str, store_folder: Path
) -> None:
    run_script(postgres_server, fresh_database, NAMED["borrowed handler"][0])
    repository = store_in(store_folder)
    report = drill(
        repository,
        back_up(server_of(postgres_server), repository, [fresh_database], cluster=False).key(fresh_database),
    )
    assert report.result == "failed", report.sentence
    assert "mylang" in report.sentence
