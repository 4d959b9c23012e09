"""A backup is whole or not there: errors in the middle, killed runs, and never two at once."""

from __future__ import annotations

import os
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

from engine.errors import ConfigurationError, ItemGone, LockedByAnother, TransientFailure
from engine.hosts.processes import ProcessIdentity, arguments, running_pids
from engine.operations.backup import BackupRun
from engine.progress import silent
from engine.repository.catalogue import catalogue
from engine.repository.manifest import read_manifest
from engine.repository.repository import Repository
from engine.repository.sweep import sweep_incomplete
from engine.repository.verify import verify_set
from engine.sources.item import StoredItem
from engine.sources.postgres.backup import dump as dumping
from engine.sources.postgres.kinds import facts_of
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.server.databases import list_databases
from engine.sources.postgres.server.lock import WORKER, backup_lock
from engine.steps import InShell
from engine.stores.base import ByteWriter, Deletion
from engine.stores.folder import FolderStore
from tests.engine.sources.postgres.backups import (
    CLOSING,
    back_up,
    drill,
    execute,
    found,
    run_of,
    run_script,
    server_of,
    store_in,
    store_one,
)

BULKY = """
    CREATE TABLE bulky (a int, b text);
    INSERT INTO bulky SELECT i, (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 20) WHERE i = i) FROM generate_series(1, 20000) AS i;
"""  # fmt: skip


class SlowStore(FolderStore):
    """A folder that takes half a second for each megabyte, so that a backup has a middle."""

    bytes_in_a_second = 2**21

    @contextmanager
    def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
        with super().writer(key, expected_bytes=expected_bytes) as inner:
            yield _Slow(inner, self.bytes_in_a_second)


class _Slow:
    def __init__(self, inner: ByteWriter, bytes_in_a_second: int) -> None:
        self._inner, self._rate = inner, bytes_in_a_second

    def write(self, data: bytes, /) -> int:
        time.sleep(len(data) / self._rate)
        return self._inner.write(data)


def slow_in(folder: Path) -> Repository:
    return Repository(SlowStore("nightly", folder))


def files_in(repository: Repository) -> list[str]:
    return sorted(str(path) for path in Path(repository.store.address).rglob("*") if path.is_file())


@pytest.fixture
def bulky(postgres_server: Instance, fresh_database: str) -> str:
    run_script(postgres_server, fresh_database, BULKY)
    return fresh_database


def run_one(server: Instance, repository: Repository, database: str, **settings: Any) -> None:
    store_one(run_of(server_of(server, **settings), repository), found(database, 20_000_000))


def test_one_database_alone_writes_its_own_set_only_and_drills(
    postgres_server: Instance, bulky: str, store_folder: Path
) -> None:
    repository = store_in(store_folder)
    made = store_one(run_of(server_of(postgres_server), repository), found(bulky, 1), alone=True)
    assert made.shared == ()
    names = [name.removeprefix(f"{store_folder}/{made.key}/") for name in files_in(repository)]
    assert names == [
        "000-globals.proof.json.gz",
        "000-globals.sql.gz",
        "manifest.json",
        f"{bulky}.dump.gz",
        f"{bulky}.proof.json.gz",
    ]
    assert drill(repository, made.key).result == "passed"


COPYING = f"FROM pg_stat_activity WHERE application_name = '{WORKER}' AND query LIKE 'COPY%'"


def when_copying(server: Instance, act: Callable[[], object]) -> threading.Thread:
    """Does something as soon as pg_dump is in the middle of a table."""

    def wait() -> None:
        deadline = time.monotonic() + 30
        while execute(server, "postgres", f"SELECT count(*) {COPYING}") == [(0,)] and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_backend_that_is_ended_leaves_nothing(postgres_server: Instance, bulky: str, store_folder: Path) -> None:
    repository = slow_in(store_folder)
    end = f"SELECT pg_terminate_backend(pid) {COPYING}"
    thread = when_copying(postgres_server, lambda: execute(postgres_server, "postgres", end))
    with pytest.raises(TransientFailure, match=f"pg_dump of '{bulky}' ended with 1: "):
        run_one(postgres_server, repository, bulky)
    thread.join()
    assert files_in(repository) == []


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
    repository = Repository(store)
    run = run_of(server_of(postgres_server), repository)
    store.away_from = at.format(fresh_database)
    with pytest.raises(TransientFailure, match="away"):
        store_one(run, found(fresh_database, 1))
    assert catalogue(repository).sets == ()
    store.away_from, store.away = "", False
    made = store_one(run, found(fresh_database, 1))
    assert verify_set(repository, made.key).result == "passed"


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
    repository = Repository(LastSync("nightly", store_folder))
    with pytest.raises(TransientFailure, match="the proof's session"):
        store_one(run_of(server_of(postgres_server), repository), found(fresh_database, 1))
    before = files_in(repository)
    time.sleep(4)
    assert files_in(repository) == before == []


def test_a_locked_table_of_an_extension(postgres_server: Instance, fresh_database: str, store_folder: Path) -> None:
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
    repository, name = store_in(store_folder), new_database()
    assert name in [one.name for one in list_databases(server_of(postgres_server))]
    execute(postgres_server, "postgres", f"DROP DATABASE {name}")
    with pytest.raises(ItemGone, match=f"Database '{name}' of platform .* was dropped while the backup ran"):
        run_one(postgres_server, repository, name)
    assert files_in(repository) == []


def test_a_lock_that_does_not_go_away(postgres_server: Instance, bulky: str, store_folder: Path) -> None:
    repository = store_in(store_folder)
    with psycopg.connect(postgres_server.conninfo(bulky)) as connection:
        connection.execute("LOCK TABLE bulky")
        with pytest.raises(
            TransientFailure, match=r"way \(locked now: public\.bulky\): .*canceling statement due to st"
        ):
            run_one(postgres_server, repository, bulky, lock_wait_seconds=1)
    assert files_in(repository) == []


def test_a_snapshot_is_given_up_in_time(postgres_server: Instance, bulky: str, store_folder: Path) -> None:
    repository = slow_in(store_folder)
    with pytest.raises(TransientFailure, match=r"was held longer than 0\.01 minutes and was given up"):
        run_one(postgres_server, repository, bulky, snapshot_limit_minutes=0.01)
    assert files_in(repository) == []
    assert execute(postgres_server, "postgres", f"SELECT count(*) {COPYING}") == [(0,)]


def test_never_two_at_once(postgres_server: Instance) -> None:
    server = server_of(postgres_server)
    reported = "held by 'platform-ops lock first run' from a local socket"
    with (
        backup_lock(server, "first run"),
        pytest.raises(LockedByAnother, match=reported),
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
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'platform-ops lock'"
    execute(server, "postgres", end)


def test_a_lost_lock_fails_the_backup(postgres_server: Instance) -> None:
    with (
        pytest.raises(TransientFailure, match="was lost during the backup"),
        backup_lock(server_of(postgres_server)),
    ):
        lose_the_lock(postgres_server)


def a_run(server: Instance, repository: Repository, database: str) -> BackupRun:
    """One that has stored its only database, and not yet the whole."""
    run = run_of(server_of(server), repository)
    store_one(run, found(database, 1))
    return run


def swept(repository: Repository) -> None:
    repository.store.sweep("platform/")
    sweep_incomplete(repository, "platform", datetime.now(UTC), older_than=None)


def test_who_lost_the_lock_publishes_nothing_that_the_next_holder_swept(
    postgres_server: Instance, fresh_database: str, store_folder: Path
) -> None:
    repository, server = store_in(store_folder), server_of(postgres_server)
    with pytest.raises(TransientFailure, match="was lost during the backup"), backup_lock(server):
        run = a_run(postgres_server, repository, fresh_database)
        lose_the_lock(postgres_server)
        with backup_lock(server, "the next holder"):
            swept(repository)
        with pytest.raises(TransientFailure, match=r"was not published: .* another run took this one for dead"):
            run.store_item(CLOSING, silent)
    assert [one.key.name for one in catalogue(repository).sets] == [fresh_database]


def test_who_fails_takes_nothing_back_that_is_another_run_s(
    postgres_server: Instance, fresh_database: str, store_folder: Path
) -> None:
    repository = store_in(store_folder)
    failed = a_run(postgres_server, repository, fresh_database)
    other = a_run(postgres_server, repository, fresh_database)
    failed.withdraw(CLOSING)
    whole = other.store_item(CLOSING, silent)
    assert isinstance(whole, StoredItem)
    assert len(whole.body.files) == 4
    assert catalogue(repository).incomplete == ()
    other.withdraw(CLOSING)  # what is published stays
    assert verify_set(repository, whole.key).result == "passed"


RUN = """
import sys
from pathlib import Path
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.sources.postgres.backups import back_up, server_of
from tests.engine.sources.postgres.backup.test_backup import slow_in
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
    repository = store_in(store_folder)
    assert catalogue(repository).sets == ()
    assert files_in(repository) != []
    assert [path.name.split("-")[3] for path in server_base.glob("platform-ops-spool-*")] == [str(process.pid)]
    server = server_of(postgres_server)
    with backup_lock(server):
        deadline = time.monotonic() + 10
        while execute(postgres_server, "postgres", f"SELECT count(*) {COPYING}") != [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        swept(repository)
    assert files_in(repository) == []
    made = back_up(server, repository, [bulky])
    assert list(server_base.glob("platform-ops-spool-*")) == []
    assert drill(repository, made.cluster_key).result == "passed"


def test_what_a_manifest_says(postgres_server: Instance, new_database: Callable[..., str], store_folder: Path) -> None:
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
    repository = store_in(store_folder)
    made = back_up(server_of(postgres_server, exclude=("postgres",)), repository, [name])
    body = read_manifest(repository, made.key(name))
    assert (body.kind, body.name) == ("db", name)
    assert [file.name for file in body.files] == [
        "000-globals.proof.json.gz", "000-globals.sql.gz", "a%2F..%2Fb%20%25.dump.gz", "a%2F..%2Fb%20%25.proof.json.gz",
    ]  # fmt: skip
    facts = facts_of(body)
    assert facts.extensions[name].keys() == {"plpgsql", "vector"}
    assert (facts.server_version.split(".")[0], facts.superuser, body.encrypted) == ("16", "postgres", False)
    assert facts.collations == {name: {"database": "2.40", "public.sorted": "2.36"}}
    roles = execute(postgres_server, "postgres", "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'")
    assert sorted(facts.roles) == sorted(role for (role,) in roles)
    assert facts.client_version.split(".")[0] == "16"
    assert (facts.snapshot_seconds[name] > 0, body.timings[name].seconds > 0) == (True, True)
    assert made.cluster is not None
    assert "database postgres: excluded by the configuration" in made.cluster.body.missing
    assert {path.stat().st_mode & 0o777 for path in store_folder.rglob("*") if path.is_file()} == {0o600}


def test_an_unknown_database_is_a_wrong_request(postgres_server: Instance, store_folder: Path) -> None:
    run = run_of(server_of(postgres_server), store_in(store_folder))
    run.wanted = [("db", "nope")]
    with pytest.raises(ConfigurationError, match="has no database 'nope'; it has: "):
        run.carry_out(InShell(silent))


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
    store_one(run_of(server, slow_in(store_folder)), found(bulky, 1))
    thread.join()
    assert any("pg_dump" in line and bulky in line for line in seen)
    assert not any("canary-password" in line for line in seen)
    assert os.environ["CANARY"] == "canary-password"
