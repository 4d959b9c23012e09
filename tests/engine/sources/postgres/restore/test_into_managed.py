"""Restores into a server whose role is no superuser, and of such a server's sets into a plain one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.errors import ConfigurationError, CouldNotVerify
from engine.repository.catalogue import catalogue
from engine.repository.manifest import read_manifest
from engine.sources.postgres.restore.report import restore_report
from engine.sources.postgres.restore.restore import RestoredDatabase, choose, restore_databases
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.server.working import WORKING_PREFIX
from tests.conftest import LIVE, MAJOR
from tests.engine.sources.postgres.backups import Backup, back_up, drill, execute, run_script, server_of, store_in
from tests.engine.sources.postgres.managed import APPLICATION, OF_THE_APP, as_master, as_role, rds_like

OF_A_SUPERUSER = """
CREATE ROLE app LOGIN PASSWORD 'of the app';
CREATE ROLE dba SUPERUSER REPLICATION LOGIN PASSWORD 'of the dba';
CREATE ROLE writers;
GRANT writers TO app;
GRANT pg_write_server_files TO writers;
ALTER ROLE app SET log_statement TO 'all';
CREATE DATABASE house OWNER app;
"""
HOUSE = """
CREATE SCHEMA rooms AUTHORIZATION dba;
CREATE TABLE rooms.room (id int PRIMARY KEY, name text);
INSERT INTO rooms.room SELECT g, 'room ' || g FROM generate_series(1, 500) g;
ALTER TABLE rooms.room OWNER TO app;
CREATE TABLE "of All" (a int);
ALTER TABLE "of All" OWNER TO writers;
"""
MEMBERSHIPS = """
SELECT roleid::regrole::text, member::regrole::text, grantor::regrole::text, to_jsonb(m)->'inherit_option' FROM pg_auth_members m
 WHERE member = 'master'::regrole ORDER BY 1, 2, 3
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backup]:
    """A managed server's sets."""
    with rds_like(MAJOR) as server:
        run_script(server, "postgres", APPLICATION)
        run_script(server, "shop", OF_THE_APP)
        yield back_up(as_role(server), store_in(tmp_path_factory.mktemp("shop")))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backup]:
    """A self-hosted server's sets, with what only a superuser has."""
    with scratch_server(MAJOR, settings=LIVE) as server:
        run_script(server, "postgres", OF_A_SUPERUSER)
        run_script(server, "house", HOUSE)
        yield back_up(server_of(server, "rds"), store_in(tmp_path_factory.mktemp("house")))


@pytest.fixture(scope="module")
def goal() -> Iterator[Instance]:
    """Another managed server, to restore into."""
    with rds_like(MAJOR) as server:
        yield server


def restored(backup: Backup, server: Server, database: str, **how: Any) -> RestoredDatabase:
    chosen = choose(catalogue(backup.repository, "rds"), backup.repository, "rds", [database], "newest").chosen
    (one,) = restore_databases(backup.repository, server, chosen, **how)
    return one


def steps(made: RestoredDatabase) -> str:
    return " ".join(restore_report("rds", [made], 1.0).next_steps)


def test_a_managed_server_s_database_comes_back_into_another_one(shop: Backup, goal: Instance, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("of the app, again\n")
    server = as_role(goal, role_passwords={"app": f"file:{tmp_path}/password"})
    before = execute(goal, "postgres", MEMBERSHIPS)
    made = restored(shop, server, "shop", in_place=True)
    assert (made.name, made.rows, made.is_equal, made.roles_created) == ("shop", 4000, True, ("app", "readers"))
    assert (made.roles_lack, made.roles_without_password) == ((), ())
    owners = "SELECT relowner::regrole::text, count(*) FROM pg_class WHERE relkind IN ('r', 'm', 'p') AND oid > 16384 GROUP BY 1"
    assert execute(goal, "shop", owners) == [("app", 4)]
    role = "SELECT rolpassword LIKE 'SCRAM-SHA-256$%', rolconnlimit FROM pg_authid WHERE rolname = 'app'"
    assert execute(goal, "postgres", role) == [(True, 20)]
    # What the master needed for it was taken back; of what it made it may give memberships (16), and it is in `app` as it was.
    left = [row[:3] for row in execute(goal, "postgres", MEMBERSHIPS) if row not in before]
    assert left == [("app", "master", "master"), ("app", "master", "rdsadmin"), ("readers", "master", "rdsadmin")]
    as_master(goal, "postgres", "GRANT app TO master WITH INHERIT FALSE, SET TRUE")  # of its own accord
    before = execute(goal, "postgres", MEMBERSHIPS)
    with psycopg.connect(goal.conninfo("shop", user="app")) as session:
        again = restored(shop, server, "shop", in_place=True)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert (again.is_equal, (again.previous or "").startswith("shop_before_")) == (True, True)
    assert execute(goal, "postgres", MEMBERSHIPS) == before
    assert not execute(goal, "postgres", f"SELECT FROM pg_database WHERE starts_with(datname, '{WORKING_PREFIX}')")


def test_its_roles_come_to_a_plain_server_and_those_without_a_password_are_named(shop: Backup, tmp_path: Path) -> None:
    with scratch_server(MAJOR) as plain:
        made = restored(shop, server_of(plain), "shop")
        assert made.is_equal
        assert made.roles_without_password == ("app", "master", "rdsadmin")
        assert "nobody can log in as app, master, rdsadmin before each has one" in steps(made)
        # Once more, when the roles are there: one that still has no password gets what is given, another keeps its own.
        (tmp_path / "password").write_text("of the app")
        execute(plain, "postgres", "ALTER ROLE master PASSWORD 'its own'")
        given = dict.fromkeys(("app", "master"), f"file:{tmp_path}/password")
        own = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ('app', 'master') ORDER BY 1"
        before = dict(execute(plain, "postgres", own))
        again = restored(shop, server_of(plain, role_passwords=given), "shop", in_place=True)
        after = dict(execute(plain, "postgres", own))
        assert (again.roles_created, again.roles_without_password) == ((), ("rdsadmin",))
        assert (before["app"], after["app"][:6], after["master"]) == (None, "SCRAM-", before["master"])
        member = "SELECT pg_has_role('app', 'readers', 'MEMBER'), pg_has_role('app', 'pg_monitor', 'MEMBER')"
        assert execute(plain, "postgres", member) == [(True, True)]


def test_what_a_master_may_not_give_to_roles_is_named(house: Backup, goal: Instance) -> None:
    made = restored(house, as_role(goal), "house")
    assert (made.is_equal, made.rows, made.roles_without_password) == (True, 500, ())
    assert {"dba", "writers", "postgres"} <= {*made.roles_created}
    message = "; ".join(made.roles_lack)
    assert "role dba: SUPERUSER (GRANT rds_superuser TO it, if it shall administer); role dba: REPLICATION" in message
    assert 'member writers of pg_write_server_files: permission denied to grant role "pg_write_server_files"' in message
    verifiers = "SELECT rolname FROM pg_authid WHERE rolname = 'dba' AND rolpassword IS NOT NULL AND NOT rolsuper"
    assert execute(goal, "postgres", verifiers) == [("dba",)]
    assert "What this server's role may not give to the roles that were created: role dba" in steps(made)


def test_what_is_a_superuser_s_own_is_said_and_all_else_comes_back(tmp_path: Path, goal: Instance) -> None:
    with rds_like(MAJOR) as source:
        run_script(source, "postgres", "CREATE DATABASE mixed OWNER master")
        run_script(
            source,
            "mixed",
            "CREATE TABLE t AS SELECT g FROM generate_series(1, 7) g; ALTER TABLE t OWNER TO master;"
            "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; ALTER FUNCTION f() OWNER TO master;"
            "CREATE EVENT TRIGGER et ON sql_drop EXECUTE FUNCTION f();",
        )
        made = back_up(as_role(source), store_in(tmp_path), ["mixed"])
    owner = r"role 'master' of rds .* may not act as 'rdsadmin', who owns EVENT TRIGGER - et in the set"
    with pytest.raises(CouldNotVerify, match=owner):
        restored(made, as_role(goal), "mixed")
    partly = restored(made, as_role(goal), "mixed", despite_errors=True)
    assert (partly.is_equal, partly.rows) == (False, 7)
    assert any("EVENT TRIGGER et" in line for line in partly.refused)


def test_an_extension_that_only_a_service_has_is_named_and_left_out(goal: Instance, tmp_path: Path) -> None:
    """Nobody can install it here: its entry in the catalogue is all that there is of it."""
    with rds_like(MAJOR) as source:
        run_script(source, "postgres", "CREATE DATABASE serviced OWNER master")
        run_script(
            source,
            "serviced",
            "CREATE TABLE t AS SELECT g, 'CREATE EXTENSION IF NOT EXISTS aws_s3;' AS told FROM generate_series(1, 7) g;"
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$BEGIN\nCREATE EXTENSION IF NOT EXISTS aws_s3;\nEND$$;"
            "ALTER FUNCTION f() OWNER TO master;"
            "ALTER TABLE t OWNER TO master; SET allow_system_table_mods = on;"
            "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)"
            " VALUES (60000, 'aws_s3', 10, 'public'::regnamespace, true, '1.2');"
            "COMMENT ON EXTENSION aws_s3 IS 'AWS''s own';",
        )
        made = back_up(as_role(source), store_in(tmp_path), ["serviced", "template1"])
    named = "serviced: the extensions aws_s3 (only this service has them: elsewhere the set is restored without)"
    for key in (made.cluster_key, made.key("serviced")):
        assert named in read_manifest(made.repository, key).missing
        result = drill(made.repository, key)
        assert (result.result, result.differences) == ("passed", ())
        assert result.remarks["restored without the extensions"] == "aws_s3"
    gone = "serviced: the extensions aws_s3 (this server lacks them, and they are a service's own)"
    with scratch_server(MAJOR) as plain:
        for server in (as_role(goal), server_of(plain)):
            one = restored(made, server, "serviced")
            assert (one.is_equal, one.rows, one.missing[-1]) == (True, 7, gone)
        from_sql = only_in_the_cluster_set(made, server_of(plain), "serviced")
        assert (from_sql.is_equal, from_sql.rows) == (True, 7)


def only_in_the_cluster_set(backup: Backup, server: Server, database: str) -> RestoredDatabase:
    (choice,) = choose(
        catalogue(backup.repository, "rds"), backup.repository, "rds", [database], str(backup.cluster_key)
    ).chosen
    (one,) = restore_databases(backup.repository, server, [choice], in_place=True)
    return one


def test_row_security_that_is_forced_asks_for_bypassrls_to_compare(goal: Instance, tmp_path: Path) -> None:
    with rds_like(MAJOR) as source:
        run_script(source, "postgres", "CREATE DATABASE forced OWNER master; ALTER ROLE master BYPASSRLS")
        statements = (
            "CREATE TABLE t AS SELECT 1 AS a",
            "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE t FORCE ROW LEVEL SECURITY",
        )
        as_master(source, "forced", *statements)
        made = back_up(as_role(source), store_in(tmp_path), ["forced"], cluster=False)
    message = r"role 'master' of rds .* may not read all that it restored, .*row-level security.*; ALTER ROLE master BYPASSRLS"
    with pytest.raises(CouldNotVerify, match=message):
        restored(made, as_role(goal), "forced")
    assert not execute(goal, "postgres", f"SELECT FROM pg_database WHERE starts_with(datname, '{WORKING_PREFIX}')")
    execute(goal, "postgres", "ALTER ROLE master BYPASSRLS")
    assert restored(made, as_role(goal), "forced").is_equal
    execute(goal, "postgres", "ALTER ROLE master NOBYPASSRLS")


def test_a_role_that_may_make_no_database(shop: Backup, goal: Instance) -> None:
    execute(goal, "postgres", "CREATE ROLE reader LOGIN")
    with pytest.raises(
        ConfigurationError, match=r"role 'reader' of rds .* may not make databases: ALTER ROLE reader CREATEDB"
    ):
        restored(shop, as_role(goal, "reader"), "shop")
    execute(goal, "postgres", "DROP ROLE reader")


def test_on_postgresql_15_too(tmp_path: Path) -> None:
    """Memberships have no options there, and who makes roles may grant any."""
    with rds_like(15) as server:
        run_script(server, "postgres", APPLICATION)
        run_script(server, "shop", OF_THE_APP)
        backup = back_up(as_role(server), store_in(tmp_path), ["shop"])
    with rds_like(15) as goal:
        before = execute(goal, "postgres", MEMBERSHIPS)
        made = restored(backup, as_role(goal), "shop")
        assert (made.is_equal, made.rows, made.roles_lack) == (True, 4000, ())
        left = [row[:2] for row in execute(goal, "postgres", MEMBERSHIPS) if row not in before]
        assert left == [("app", "master")]  # as the source had it
