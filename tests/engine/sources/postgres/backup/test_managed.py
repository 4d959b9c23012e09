"""Backups by a role that is no superuser: all it may read is in the sets, what it may not is named, nothing is thinned out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from engine.errors import ConfigurationError, LockedByAnother
from engine.repository.manifest import read_manifest
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.postgres.server.databases import list_databases
from engine.sources.postgres.server.lock import HOLDER, WORKER, backup_lock
from tests.conftest import MAJOR
from tests.engine.sources.postgres.backups import back_up, drill, execute, run_script, store_in
from tests.engine.sources.postgres.managed import APPLICATION, OF_THE_APP, OF_THE_SERVICE, as_role, rds_like
from tests.engine.sources.postgres.restore.test_stock_restore import by_hand, shell


@pytest.fixture(scope="module")
def managed() -> Iterator[Instance]:
    """A server of a managed service, with an application's database of which its master may not read everything."""
    with rds_like(MAJOR) as server:
        run_script(server, "postgres", APPLICATION)
        run_script(server, "shop", OF_THE_APP + OF_THE_SERVICE)
        yield server


MISSING = [
    "the passwords of app, master, rdsadmin (this role may not read them: give them anew, `restore` says which)",
    "the server's configuration files (only a superuser may read them: see what the service has set)",
    "database closed: the role 'master' may not connect to it (GRANT CONNECT ON DATABASE)",
    "database rdsadmin: it belongs to the managed service, whose users have no business in it",
    "shop: the tables kept.detail, kept.secret, kept.shown, kept.shown_twice (with what reads them: the role has no right "
    "to them: GRANT SELECT, and USAGE on their schema)",
    "shop: the values of the sequences kept.number (the role may not read them: GRANT SELECT, else they begin anew)",
    "shop: the subscriptions feed (pg_dump leaves them out for who is no superuser: make them again)",
    "shop: the options (a password may be among them) of the user mappings app for elsewhere (this role may not read "
    "them: ALTER USER MAPPING ... OPTIONS)",
]


@pytest.mark.parametrize("major", [15, 18])
def test_other_majors(major: int, tmp_path: Path) -> None:
    with rds_like(major) as server:
        run_script(server, "postgres", APPLICATION)
        run_script(server, "shop", OF_THE_APP + OF_THE_SERVICE)
        made = back_up(as_role(server), store_in(tmp_path))
        assert list(read_manifest(made.repository, made.cluster_key).missing) == MISSING
        assert [drill(made.repository, key).result for key in (made.cluster_key, made.key("shop"))] == ["passed"] * 2
        assert (made.facts("shop").rows, made.facts("shop").large_objects) == (4000, 3)


def test_what_it_may_read_is_proven_and_what_it_may_not_is_named(managed: Instance, tmp_path: Path) -> None:
    repository = store_in(tmp_path / "store")
    made = back_up(as_role(managed), repository)
    cluster = read_manifest(repository, made.cluster_key)
    assert list(cluster.missing) == MISSING
    for key in (made.cluster_key, made.key("shop")):
        result = drill(repository, key)
        assert (result.result, result.differences) == ("passed", ())
    assert made.facts("shop").rows == 4000
    assert made.facts("shop").large_objects == 3
    assert not made.facts("shop").passwords
    assert made.facts("postgres").spare == ("postgres",)  # though its owner is the master


def test_a_cluster_set_restores_with_stock_tools_into_a_server_whose_superuser_has_the_masters_name(
    managed: Instance, tmp_path: Path
) -> None:
    """RDS calls its master `postgres` unless told otherwise; psql must not make the superuser it works as an ordinary role."""
    made = back_up(as_role(managed), store_in(tmp_path))
    with scratch_server(MAJOR, superuser="master") as plain:
        folder = Path(made.repository.store.address) / str(made.cluster_key)
        assert shell(by_hand(folder), plain).endswith("4 of 4 files came back\n")
        members = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'readers'::regrole AND admin_option"
        assert execute(plain, "postgres", members) == execute(managed, "postgres", members)
        assert execute(plain, "postgres", "SELECT rolsuper FROM pg_roles WHERE rolname = 'master'") == [(True,)]
        assert execute(plain, "shop", "SELECT count(*) FROM orders.item") == [(2000,)]
        privilege = "SELECT has_table_privilege('readers', 'orders.item', 'SELECT'), last_value FROM kept.number"
        assert execute(plain, "shop", privilege) == [(True, 5)]
        execute(plain, "postgres", "DROP DATABASE shop")
        assert (
            shell(by_hand(folder.parents[1] / "db" / "shop" / made.key("shop").set_id, "shop"), plain) == "restored\n"
        )
        assert execute(plain, "shop", privilege) == [(True, 5)]


def test_large_objects_that_it_may_not_read_are_left_out_together(managed: Instance, tmp_path: Path) -> None:
    execute(managed, "shop", "SELECT lo_from_bytea(5000, 'of the service')")
    try:
        made = back_up(as_role(managed), store_in(tmp_path), ["shop"], cluster=False)
        missing = read_manifest(made.repository, made.key("shop")).missing
        assert any(line.startswith("shop: the large objects (the role may not read 1 of them") for line in missing)
        assert drill(made.repository, made.key("shop")).result == "passed"
    finally:
        execute(managed, "shop", "SELECT lo_unlink(5000)")


THINNED = {
    "row security": (
        ["ALTER TABLE orders.item FORCE ROW LEVEL SECURITY"],
        r"Row security would hide rows of orders.item of database 'shop' from the role 'master'.*: ALTER ROLE master BYPASSRLS",
        ["ALTER TABLE orders.item NO FORCE ROW LEVEL SECURITY"],
    ),
    "a partition that it may not read": (
        ["CREATE TABLE orders.line_2 PARTITION OF orders.line FOR VALUES FROM (5000) TO (9000)"],
        r"no right to .*, orders.line_2 of database 'shop', without which all rows of orders.line could not be restored",
        ["DROP TABLE orders.line_2"],
    ),
    "a key to what it may not read": (
        ["ALTER TABLE kept.secret ADD PRIMARY KEY (a)", "CREATE TABLE kept.of (a int CONSTRAINT known REFERENCES kept.secret)",
         "GRANT SELECT ON kept.of TO master"],
        r"no right to kept.detail, kept.secret of database 'shop', without which constraint known on table kept.of could not be "
        r"restored: grant it SELECT",
        ["DROP TABLE kept.of"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", THINNED)
def test_it_stops_where_a_set_would_be_thinned_out_or_not_restore(case: str, managed: Instance, tmp_path: Path) -> None:
    spoil, message, mend = THINNED[case]
    execute(managed, "shop", *spoil)
    try:
        with pytest.raises(ConfigurationError, match=message):
            back_up(as_role(managed), store_in(tmp_path), ["shop"])
        assert not list(tmp_path.rglob("manifest.json"))
    finally:
        execute(managed, "shop", *mend)


def test_bypassrls_reads_all(managed: Instance, tmp_path: Path) -> None:
    execute(managed, "shop", "ALTER TABLE orders.item FORCE ROW LEVEL SECURITY", "ALTER ROLE master BYPASSRLS")
    try:
        made = back_up(as_role(managed), store_in(tmp_path), ["shop"], cluster=False)
        assert (made.facts("shop").rows, drill(made.repository, made.key("shop")).result) == (4000, "passed")
    finally:
        execute(managed, "shop", "ALTER ROLE master NOBYPASSRLS", "ALTER TABLE orders.item NO FORCE ROW LEVEL SECURITY")


def test_who_may_read_all_data_of_a_stock_server_has_the_passwords_too(managed: Instance, tmp_path: Path) -> None:
    execute(managed, "postgres", "CREATE ROLE reader LOGIN BYPASSRLS", "GRANT pg_read_all_data TO reader")
    try:
        made = back_up(as_role(managed, "reader"), store_in(tmp_path), ["shop", "template1"])
        missing = read_manifest(made.repository, made.cluster_key).missing
        assert not any("passwords" in line or "the tables" in line for line in missing)
        assert drill(made.repository, made.cluster_key).result == "passed"
    finally:
        execute(managed, "postgres", "DROP OWNED BY reader", "DROP ROLE reader")


def test_a_role_that_may_read_nothing_makes_no_empty_set(managed: Instance, tmp_path: Path) -> None:
    execute(managed, "postgres", "CREATE ROLE stranger LOGIN")
    try:
        with pytest.raises(
            ConfigurationError, match=r"role 'stranger' may read none of the 5 tables of database 'shop'"
        ):
            back_up(as_role(managed, "stranger"), store_in(tmp_path), ["shop"])
    finally:
        execute(managed, "postgres", "DROP ROLE stranger")


def test_sizes_of_what_it_may_not_connect_to_are_no_reason_to_fail(managed: Instance) -> None:
    found = {one.name: one for one in list_databases(as_role(managed, "app"))}
    assert found["shop"].size > 0
    assert found["closed"].skipped == "the role 'app' may not connect to it (GRANT CONNECT ON DATABASE)"


def test_the_lock_is_held_against_other_roles_and_ends_what_it_may(managed: Instance) -> None:
    """A leftover of its own ends; one of the service's superuser, which nobody may end, is no reason to fail."""
    mark = f"{WORKER} of a dead run"
    own = psycopg.connect(managed.conninfo(user="app", application_name=mark), autocommit=True)
    service = psycopg.connect(managed.conninfo(application_name=mark), autocommit=True)
    with (
        backup_lock(as_role(managed), "night"),
        pytest.raises(LockedByAnother, match=f"held by '{HOLDER} night'"),
        backup_lock(as_role(managed, "app"), "another"),
    ):
        pass
    with pytest.raises(psycopg.OperationalError):
        own.execute("SELECT 1")
    assert service.execute("SELECT 1").fetchall() == [(1,)]
    own.close()
    service.close()


def test_a_server_that_keeps_its_identity_to_itself(managed: Instance, tmp_path: Path) -> None:
    revoke = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"
    execute(managed, "postgres", revoke)
    execute(managed, "template1", revoke)
    try:
        made = back_up(as_role(managed), store_in(tmp_path), ["template1"])
        assert made.facts("template1").system_identifier == ""
    finally:
        for database in ("postgres", "template1"):
            execute(managed, database, "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")


def test_its_sessions_find_out_once_what_it_may_not_set(managed: Instance) -> None:
    """RDS lets its master set session_replication_role, and neither of the others."""
    server = as_role(managed)
    with server.connect() as connection:
        assert connection.execute("SHOW session_replication_role").fetchall() == [("replica",)]
    assert server.refused_settings == {"temp_file_limit", "lc_messages"}
    assert "session_replication_role=replica" in (server.dump_variables("x")["PGOPTIONS"] or "")
    threads = [threading.Thread(target=lambda: server.connect().close()) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(ConfigurationError, match="refuses user"):
        as_role(managed, "nobody-knows").connect()
