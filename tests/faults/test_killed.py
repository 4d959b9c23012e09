"""kill -9 of platformctl at every step: what can be seen is whole, and the next run clears the rest away."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from engine.hosts.processes import arguments, running_pids
from engine.repository.keys import SetKey, new_set_id
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.server.working import WORKING_PREFIX
from tests.engine.repository.made import store_set
from tests.engine.sources.postgres.backups import execute
from tests.engine.stores.conftest import StartServer, new_bucket
from tests.engine.stores.proxy import proxy_to
from tests.engine.stores.servers import KEY_VARIABLE, SECRET_VARIABLE
from tests.faults.conftest import DATABASE
from tests.faults.gates import Gate, Gated, kept_in, wait_for
from tests.faults.site import FaultSite

SESSIONS = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'platform-ops%'"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
COPYING = "FROM pg_stat_activity WHERE application_name = 'platform-ops dump' AND query LIKE 'COPY%'"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'platform-ops dump'"
    " AND wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'"
)


@pytest.fixture
def gated(
    fault_server: Instance,
    start_server: StartServer,
    tmp_path: Path,
    server_base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Gated]:
    """A site with two buckets; its temporary files are in `server_base`, which no process may outlive."""
    moto = start_server("moto")
    first, second = new_bucket(moto, monkeypatch), new_bucket(moto, monkeypatch)
    with proxy_to(moto.url) as proxy:
        server = {
            "host": str(fault_server.socket),
            "port": fault_server.port,
            "user": fault_server.superuser,
            "store": "nightly",
            "copies": ["offsite"],
            "exclude": ["postgres", "template1"],
        }
        buckets = {"nightly": first.name, "offsite": second.name}
        stores = {name: _bucket(bucket, proxy.url) for name, bucket in buckets.items()}
        secrets = {KEY_VARIABLE: moto.access_key, SECRET_VARIABLE: moto.secret_key}
        site = FaultSite(tmp_path, server, stores, {**secrets, "TMPDIR": str(server_base)})
        site.write({"copies": []}, {})
        yield Gated(site, proxy, first, second)


def _bucket(name: str, url: str) -> dict[str, object]:
    return {
        "kind": "s3",
        "bucket": name,
        "endpoint_url": url,
        "region": "us-east-1",
        "access_key": f"env:{KEY_VARIABLE}",
        "secret_key": f"env:{SECRET_VARIABLE}",
        "retention.db.days": 1,
        "retention.db.minimum": 1,
    }


def _next_run_is_clean(gated: Gated, server: Instance, base: Path) -> None:
    """The next backup works, and after it nothing is left of the killed one anywhere."""
    answer = gated.site.run("backup")
    assert answer.code == 0, answer.stderr
    for bucket in (gated.first, gated.second) if gated.files(gated.second) else (gated.first,):
        assert gated.assert_whole(bucket) >= 2
        gated.assert_tidy(bucket)
    wait_for(lambda: execute(server, "postgres", SESSIONS) == [], 10)
    assert execute(server, "postgres", LOCKS) == [(0,)]
    assert kept_in(base) == []
    assert _descendants(base) == []


def _descendants(base: Path) -> list[list[str]]:
    """Processes that carry the killed command's environment."""
    mark = f"TMPDIR={base}".encode()
    return [list(arguments(pid)) for pid in running_pids() if mark in environment_of(pid)]


def environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


STEPS = {
    "the dump is stored": Gate("PUT", r"/db/app/.*\.proof\.json", "stall", 1),
    "before a database's manifest": Gate("PUT", r"/db/app/.*/manifest\.json", "stall", 1),
    "the database sets are there": Gate("PUT", r"/cluster/.*/000-globals\.sql", "stall", 1),
    "before the cluster manifest": Gate("PUT", r"/cluster/.*/manifest\.json", "stall", 1),
}
VISIBLE = {"the database sets are there": 1, "before the cluster manifest": 1}


@pytest.mark.parametrize("step", STEPS)
def test_while_it_stores(step: str, gated: Gated, fault_server: Instance, server_base: Path) -> None:
    gated.kill_at(STEPS[step], "backup")
    assert gated.assert_whole(gated.first) == VISIBLE.get(step, 0)
    _next_run_is_clean(gated, fault_server, server_base)


def test_as_soon_as_it_has_the_lock(gated: Gated, fault_server: Instance, server_base: Path) -> None:
    gated.kill_when(lambda: execute(fault_server, "postgres", LOCKS) != [(0,)], "backup")
    assert gated.files(gated.first) == []
    _next_run_is_clean(gated, fault_server, server_base)


def test_while_its_snapshot_is_open(gated: Gated, fault_server: Instance, server_base: Path) -> None:
    with psycopg.connect(fault_server.conninfo(DATABASE)) as blocker:
        blocker.execute("LOCK TABLE orders")
        gated.kill_when(lambda: execute(fault_server, "postgres", WAITING) == [(1,)], "backup")
    assert gated.files(gated.first) == []
    _next_run_is_clean(gated, fault_server, server_base)


def test_in_the_middle_of_a_table(gated: Gated, fault_server: Instance, server_base: Path) -> None:
    execute(fault_server, "postgres", "CREATE DATABASE bulky TEMPLATE template0")
    execute(
        fault_server,
        "bulky",
        "CREATE TABLE bulky AS SELECT n, repeat(md5(n::text), 20) AS t FROM generate_series(1, 60000) n",
    )
    stopped: list[int] = []

    def copying() -> bool:
        if not stopped:
            stopped.extend(pid for (pid,) in execute(fault_server, "postgres", f"SELECT pid {COPYING}"))
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)  # the server's own process: the table goes no further
        return bool(stopped)

    try:
        gated.kill_when(copying, "backup", "--database", "bulky")
        assert gated.assert_whole(gated.first) == 0
        assert kept_in(server_base) != []
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        execute(fault_server, "postgres", "DROP DATABASE bulky WITH (FORCE)")
    _next_run_is_clean(gated, fault_server, server_base)


COPY_STEPS = {
    "before it copies": ("GET", r"^/{second}\?.*list-type"),
    "while it copies a file": ("PUT", r"^/{second}/platform/.*\.gz"),
    "before a copy's manifest": ("PUT", r"^/{second}/platform/.*/manifest\.json"),
}


@pytest.mark.parametrize("step", COPY_STEPS)
def test_while_it_copies(step: str, gated: Gated, fault_server: Instance, server_base: Path) -> None:
    gated.site.write({}, {})
    method, part = COPY_STEPS[step]
    gated.kill_at(Gate(method, part.format(second=gated.second.name), "stall", 1), "backup")
    assert gated.assert_whole(gated.first) == 2
    assert gated.assert_whole(gated.second) == 0
    _next_run_is_clean(gated, fault_server, server_base)
    assert len(gated.files(gated.second)) == len(gated.files(gated.first))


# The first deletion is the lease's: of the file that tells the store's time.
@pytest.mark.parametrize("free", [1, 2], ids=["before a manifest goes", "between a manifest and its files"])
def test_while_it_prunes(free: int, gated: Gated, fault_server: Instance, server_base: Path) -> None:
    now, store = datetime.now(UTC), gated.first.store()
    old = [SetKey("platform", "db", DATABASE, new_set_id(now - timedelta(days=days), "old")) for days in (4, 3, 2)]
    for key in old:
        store_set(store, key)
    gate = Gate("POST", rf"^/{gated.first.name}\?delete", "stall", 1, free=free)
    gated.kill_at(gate, "prune", "--store", "nightly", "--delete")
    assert gated.assert_whole(gated.first) == (3 if free == 1 else 1)
    _next_run_is_clean(gated, fault_server, server_base)


@pytest.mark.parametrize("command", ["verify", "drill"])
def test_while_it_reads(command: str, gated: Gated, fault_server: Instance, server_base: Path) -> None:
    assert gated.site.run("backup", "--no-prune").code == 0
    files = gated.files(gated.first)
    requested = (command, "newest", "--database", DATABASE)
    gated.kill_at(Gate("GET", r"/db/app/.*\.dump\.gz", "stall", 1), *requested)
    assert gated.files(gated.first) == files
    again = gated.site.run(*requested)
    assert again.code == 0, again.stderr
    _next_run_is_clean(gated, fault_server, server_base)


def test_what_a_killed_restore_left_goes_with_the_next_backup(site: FaultSite, fault_server: Instance) -> None:
    left = f"{WORKING_PREFIX}0f1e2d3c"
    execute(fault_server, "postgres", f'CREATE DATABASE "{left}" IS_TEMPLATE true')
    answer = site.run("backup", "--json")
    assert answer.code == 0, answer.stderr
    assert left not in answer.stdout
    assert execute(fault_server, "postgres", f"SELECT 1 FROM pg_database WHERE datname = '{left}'") == []
