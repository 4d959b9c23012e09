"""A backup is whole or not there: errors in the middle, killed runs, and never two at once."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.errors import ConfigurationError, DatabaseDropped, LockedByAnother, TransientFailure
from engine.hosts.processes import ProcessIdentity, arguments, running_pids
from engine.postgres import dumping
from engine.postgres.backup import DatabaseBackup, backup_database, publish_cluster, withdraw_cluster
from engine.postgres.drill import drill
from engine.postgres.instance import Instance
from engine.postgres.lock import WORKER, backup_lock
from engine.postgres.night import Night, begin
from engine.postgres.survey import DatabaseFound, chosen, list_databases
from engine.sets.catalogue import catalogue
from engine.sets.prune import sweep_incomplete
from engine.sets.reading import read_manifest
from engine.sets.target import Target
from engine.sets.verify import verify_set
from engine.stores.base import ByteWriter, Deletion
from engine.stores.folder import FolderStore
from tests.engine.postgres.backups import back_up, execute, run_script, server_of, store_in

BULKY = """
    CREATE TABLE bulky (a int, b text);
    INSERT INTO bulky SELECT i, (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 20) WHERE i = i) FROM generate_series(1, 20000) AS i;
"""  # fmt: skip


class SlowStore(FolderStore):
    """A folder that takes half a second for each megabyte, so that a backup has a middle."""

    @contextmanager
    def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
        with super().writer(key, expected_bytes=expected_bytes) as inner:
            yield _Slow(inner)


class _Slow:
    def __init__(self, inner: ByteWriter) -> None:
        self._inner = inner

    def write(self, data: bytes, /) -> int:
        time.sleep(len(data) / 2**21)
        return self._inner.write(data)


def slow_in(folder: Path) -> Target:
    return Target(SlowStore("nightly", folder))


def files_in(target: Target) -> list[str]:
    return sorted(str(path) for path in Path(target.store.address).rglob("*") if path.is_file())


@pytest.fixture
def bulky(postgres_server: Instance, fresh_database: str) -> str:
    run_script(postgres_server, fresh_database, BULKY)
    return fresh_database


def run_one(server: Instance, target: Target, database: str, **settings: Any) -> None:
    night = begin(server_of(server, **settings), "token", datetime(2026, 2, 7, 17, tzinfo=UTC))
    backup_database(night, DatabaseFound(database, 20_000_000), 1, target)


def test_one_database_alone_writes_its_own_set_only_and_drills(
    postgres_server: Instance, bulky: str, store_folder: Path
) -> None:
    target = store_in(store_folder)
    night = begin(server_of(postgres_server), "token", datetime(2026, 2, 7, 17, tzinfo=UTC))
    made = backup_database(night, DatabaseFound(bulky, 1), 1, target, alone=True)
    assert made.cluster_files == ()
    names = [name.removeprefix(f"{store_folder}/{made.set_key}/") for name in files_in(target)]
    assert names == [
        "000-globals.proof.json.gz",
        "000-globals.sql.gz",
        "manifest.json",
        f"{bulky}.dump.gz",
        f"{bulky}.proof.json.gz",
    ]
    assert drill(target, night.database(bulky)).result == "passed"


COPYING = f"FROM pg_stat_activity WHERE application_name = '{WORKER}' AND query LIKE 'COPY%'"


def when_copying(server: Instance, act: Callable[[], object]) -> threading.Thread:
    """Does something as soon as pg_dump is in the middle of a table."""

    def wait() -> None:
        deadline = time.monotonic() + 30
        while (
            execute(server, "postgres", f"SELECT count(*) {COPYING}") == [(0,)]
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)
        time.sleep(0.5)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_backend_that_is_ended_leaves_nothing(
    postgres_server: Instance, bulky: str, store_folder: Path
) -> None:
    target = slow_in(store_folder)
    end = f"SELECT pg_terminate_backend(pid) {COPYING}"
    thread = when_copying(postgres_server, lambda: execute(postgres_server, "postgres", end))
    with pytest.raises(TransientFailure, match=f"pg_dump of '{bulky}' ended with 1: "):
        run_one(postgres_server, target, bulky)
    thread.join()
    assert files_in(target) == []


class AwayStore(FolderStore):
    """From the writing of a key with this end on the store is away, until it is called back."""

    away_from, away = "", False

    @contextmanager
    def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
        self.away = self.away or bool(self.away_from and key.endswith(self.away_from))
        if self.away:
            raise TransientFailure("the store is away")
        with super().writer(key, expected_bytes=expected_bytes) as inner:
            yield inner

    def delete(self, keys: Iterable[str]) -> Deletion:
        if self.away:
            raise TransientFailure("the store is away")
        return super().delete(keys)


@pytest.mark.parametrize("at", ["-{}.proof.json.gz", "/{}.proof.json.gz", "/manifest.json"])
def test_a_retry_replaces_nothing_that_can_be_seen(
    postgres_server: Instance, fresh_database: str, store_folder: Path, at: str
) -> None:
    """Whatever a store that went away kept of the first try: what is visible is whole at every moment."""
    execute(postgres_server, fresh_database, "CREATE TABLE t AS SELECT i FROM generate_series(1, 500) AS i")
    store = AwayStore("nightly", store_folder)
    night = begin(server_of(postgres_server), secrets.token_hex(8))
    store.away_from = at.format(fresh_database)
    with pytest.raises(TransientFailure, match="away"):
        backup_database(night, DatabaseFound(fresh_database, 1), 1, Target(store))
    assert catalogue(store).sets == ()
    store.away_from, store.away = "", False
    backup_database(night, DatabaseFound(fresh_database, 1), 1, Target(store))
    assert verify_set(store, night.database(fresh_database)).result == "passed"


def test_what_a_failed_try_still_stores_is_waited_for(
    postgres_server: Instance, fresh_database: str, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last sync takes longer than the proof takes to fail: it must not come to its end after the retry's."""
    at_its_end = threading.Event()

    class LastSync(FolderStore):
        @contextmanager
        def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
            with super().writer(key, expected_bytes=expected_bytes) as inner:
                yield inner
                if key.endswith(".dump.gz"):
                    at_its_end.set()
                    time.sleep(4)

    def lost(*_: object, **__: object) -> None:
        at_its_end.wait(30)
        raise TransientFailure("the proof's session was lost")

    monkeypatch.setattr(dumping, "take_proof", lost)
    night = begin(server_of(postgres_server), secrets.token_hex(8))
    target = Target(LastSync("nightly", store_folder))
    with pytest.raises(TransientFailure, match="the proof's session"):
        backup_database(night, DatabaseFound(fresh_database, 1), 1, target)
    before = files_in(target)
    time.sleep(4)
    assert files_in(target) == before == []


def test_a_locked_table_of_an_extension(
    postgres_server: Instance, fresh_database: str, store_folder: Path
) -> None:
    """It is looked at before the dump begins, which has its own limits."""
    add = "ALTER EXTENSION plpgsql ADD TABLE job"
    execute(postgres_server, fresh_database, "CREATE TABLE job (i int)", add)
    with (
        psycopg.connect(postgres_server.conninfo(fresh_database)) as holder,
        pytest.raises(TransientFailure, match="lock timeout"),
    ):
        holder.execute("LOCK TABLE job IN ACCESS EXCLUSIVE MODE")
        run_one(postgres_server, store_in(store_folder), fresh_database, lock_wait_seconds=1)


def test_a_database_dropped_before_its_dump(
    postgres_server: Instance, new_database: Callable[..., str], store_folder: Path
) -> None:
    target, name = store_in(store_folder), new_database()
    assert name in [found.name for found in list_databases(server_of(postgres_server))]
    execute(postgres_server, "postgres", f"DROP DATABASE {name}")
    with pytest.raises(
        DatabaseDropped, match=f"Database '{name}' of platform .* was dropped while the backup ran"
    ):
        run_one(postgres_server, target, name)
    assert files_in(target) == []


def test_a_lock_that_does_not_go_away(postgres_server: Instance, bulky: str, store_folder: Path) -> None:
    target = store_in(store_folder)
    with psycopg.connect(postgres_server.conninfo(bulky)) as connection:
        connection.execute("LOCK TABLE bulky")
        with pytest.raises(TransientFailure, match="canceling statement due to statement timeout"):
            run_one(postgres_server, target, bulky, lock_wait_seconds=1)
    assert files_in(target) == []


def test_a_snapshot_is_given_up_in_time(postgres_server: Instance, bulky: str, store_folder: Path) -> None:
    target = slow_in(store_folder)
    with pytest.raises(TransientFailure, match=r"was held longer than 0\.01 minutes and was given up"):
        run_one(postgres_server, target, bulky, snapshot_limit_minutes=0.01)
    assert files_in(target) == []
    assert execute(postgres_server, "postgres", f"SELECT count(*) {COPYING}") == [(0,)]


def test_never_two_at_once(postgres_server: Instance) -> None:
    server = server_of(postgres_server)
    told = "held by 'platform-ops lock first run' from a local socket"
    with (
        backup_lock(server, "first run"),
        pytest.raises(LockedByAnother, match=told),
        backup_lock(server),
    ):
        pass
    with backup_lock(server):
        pass


def test_never_two_at_once_from_whatever_maintenance_database(postgres_server: Instance) -> None:
    """An advisory lock is its database's own: two configurations may name two of them."""
    one, other = server_of(postgres_server), server_of(postgres_server, maintenance_database="template1")
    for first, second in ((one, other), (other, one)):
        with (
            backup_lock(first, "first run"),
            pytest.raises(LockedByAnother, match="'platform-ops lock first"),
            backup_lock(second),
        ):
            pass


def lose_the_lock(server: Instance) -> None:
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'platform-ops lock'"
    )
    execute(server, "postgres", end)


def test_a_lost_lock_fails_the_backup(postgres_server: Instance) -> None:
    with (
        pytest.raises(TransientFailure, match="was lost during the backup"),
        backup_lock(server_of(postgres_server)),
    ):
        lose_the_lock(postgres_server)


def a_night(server: Instance, target: Target, database: str) -> tuple[Night, list[DatabaseBackup]]:
    night = begin(server_of(server), secrets.token_hex(8))
    return night, [backup_database(night, DatabaseFound(database, 1), 1, target)]


def swept(target: Target) -> None:
    target.store.sweep("platform/")
    sweep_incomplete(target.store, "platform", datetime.now(UTC), older_than=None)


def test_who_lost_the_lock_publishes_nothing_that_the_next_holder_swept(
    postgres_server: Instance, fresh_database: str, store_folder: Path
) -> None:
    target, server = store_in(store_folder), server_of(postgres_server)
    with pytest.raises(TransientFailure, match="was lost during the backup"), backup_lock(server):
        night, dumped = a_night(postgres_server, target, fresh_database)
        lose_the_lock(postgres_server)
        with backup_lock(server, "the next holder"):
            swept(target)
        with pytest.raises(
            TransientFailure, match=r"was not published: .* another run took this one for dead"
        ):
            publish_cluster(night, dumped, (), target)
    assert [one.key.database for one in catalogue(target.store).sets] == [fresh_database]


def test_who_fails_takes_nothing_back_that_is_another_run_s(
    postgres_server: Instance, fresh_database: str, store_folder: Path
) -> None:
    target = store_in(store_folder)
    failed, _ = a_night(postgres_server, target, fresh_database)
    other, dumped = a_night(postgres_server, target, fresh_database)
    withdraw_cluster(failed, target)
    assert publish_cluster(other, dumped, (), target).files == 4
    assert catalogue(target.store).incomplete == ()
    withdraw_cluster(other, target)  # what is published stays
    assert verify_set(target.store, other.cluster).result == "passed"


RUN = """
import sys
from pathlib import Path
from engine.postgres.instance import Instance
from tests.engine.postgres.backups import back_up, server_of
from tests.engine.postgres.test_backup import slow_in
back_up(server_of(Instance(Path(sys.argv[1]), Path(sys.argv[2]))), slow_in(Path(sys.argv[3])), [sys.argv[4]])
"""


def test_a_killed_backup_is_swept_by_the_next(
    postgres_server: Instance,
    bulky: str,
    store_folder: Path,
    server_base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(server_base))
    places = (postgres_server.folder, postgres_server.programs, store_folder)
    argv = [sys.executable, "-c", RUN, *map(str, places), bulky]
    process = subprocess.Popen(argv)
    when_copying(postgres_server, process.kill).join()
    assert process.wait() == -signal.SIGKILL
    target = store_in(store_folder)
    assert catalogue(target.store).sets == ()
    assert files_in(target) != []
    assert [path.name.split("-")[3] for path in server_base.glob("platform-ops-spool-*")] == [
        str(process.pid)
    ]
    server = server_of(postgres_server)
    with backup_lock(server):
        deadline = time.monotonic() + 10
        while execute(postgres_server, "postgres", f"SELECT count(*) {COPYING}") != [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        swept(target)
    assert files_in(target) == []
    made = back_up(server, target, [bulky])
    assert list(server_base.glob("platform-ops-spool-*")) == []
    assert drill(target, made.cluster_key).result == "passed"


def test_what_a_manifest_says(
    postgres_server: Instance, new_database: Callable[..., str], store_folder: Path
) -> None:
    name = new_database("a/../b %")
    execute(
        postgres_server,
        name,
        "CREATE EXTENSION vector",
        "CREATE TABLE t (a int)",
        # The wheel's C library has no version to give.
        "CREATE COLLATION sorted (provider = libc, locale = 'C.UTF-8')",
        "UPDATE pg_collation SET collversion = '2.36' WHERE collname = 'sorted'",
        "UPDATE pg_database SET datcollversion = '2.40' WHERE datname = current_database()",
    )
    target = store_in(store_folder)
    made = back_up(server_of(postgres_server, exclude=("postgres",)), target, [name])
    body = read_manifest(target, made.key(name))
    assert body.database == name
    assert [file.name for file in body.files] == [
        "000-globals.proof.json.gz", "000-globals.sql.gz", "a%2F..%2Fb%20%25.dump.gz", "a%2F..%2Fb%20%25.proof.json.gz",
    ]  # fmt: skip
    assert body.extensions[name].keys() == {"plpgsql", "vector"}
    assert (body.server_version.split(".")[0], body.superuser, body.encrypted) == ("16", "postgres", False)
    assert body.collations == {name: {"database": "2.40", "public.sorted": "2.36"}}
    roles = execute(postgres_server, "postgres", "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'")
    assert sorted(body.roles) == sorted(role for (role,) in roles)
    assert body.client_version.split(".")[0] == "16"
    assert (body.snapshot_seconds[name] > 0, body.timings[name].seconds > 0) == (True, True)
    assert made.cluster is not None
    assert "database postgres: excluded by the configuration" in made.cluster.missing
    assert {path.stat().st_mode & 0o777 for path in store_folder.rglob("*") if path.is_file()} == {0o600}


def test_who_may_not_read_everything_is_refused(postgres_server: Instance) -> None:
    execute(postgres_server, "postgres", "DROP ROLE IF EXISTS weak", "CREATE ROLE weak LOGIN")
    server = server_of(postgres_server)
    settings = server.settings.model_copy(update={"user": "weak"})
    with pytest.raises(ConfigurationError, match=r"role 'weak' of platform .* is no superuser"):
        begin(type(server)("platform", settings), "token")
    execute(postgres_server, "postgres", "DROP ROLE weak")


def test_an_unknown_database_is_a_wrong_request(postgres_server: Instance) -> None:
    server = server_of(postgres_server)
    with pytest.raises(ConfigurationError, match="has no database 'nope'; it has: "):
        chosen(list_databases(server), ["nope"], server)


def test_no_password_is_seen(
    postgres_server: Instance, bulky: str, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "canary-password")
    seen: list[str] = []

    def look() -> None:
        me = ProcessIdentity.current().pid
        seen.extend(" ".join(arguments(pid)) for pid in running_pids() if pid != me)

    thread = when_copying(postgres_server, look)
    server = server_of(postgres_server, password="env:CANARY")
    night = begin(server, "token")
    backup_database(night, DatabaseFound(bulky, 1), 1, slow_in(store_folder))
    thread.join()
    assert any("pg_dump" in line and bulky in line for line in seen)
    assert not any("canary-password" in line for line in seen)
    assert os.environ["CANARY"] == "canary-password"
