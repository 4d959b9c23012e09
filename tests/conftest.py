"""Real servers for the tests: one of each kind per test process, a fresh database for each test."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from engine.hosts.processes import arguments, running_pids
from engine.operations import drill
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.postgres.scratch.sweep import sweep_scratch
from engine.streams.spool import temporary_base
from tests.copied_servers import copied_servers
from tests.engine.kubernetes.application import app
from tests.engine.releases.small_platform import small
from tests.kubebox import cluster, namespace
from tests.prefect_server import prefect_server
from tests.quick import QUICK, starting

__all__ = ["app", "cluster", "namespace", "prefect_server", "small"]  # fixtures, like those below

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Which of the processes that run tests beside each other this is: each has ports of its own."""

MAJOR = 16
"""The major of the wheel's older PostgreSQL: there on every machine the tests run on."""

# Unlike a scratch server: all that a live one may have, so that it can be found and carried.
LIVE = {
    "wal_level": "logical",
    "max_wal_senders": "4",
    "autovacuum": "on",
    "max_prepared_transactions": "4",
    "log_min_error_statement": "error",
    "log_error_verbosity": "default",
}


_RUNNING = ("cluster", "pair", "small", "scene")
"""Fixtures of the session whose servers are never idle: health checks alone take a third of a core."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for Prefect's server or a container engine starts an installation."""
    for item in items:
        if not {"prefect_server", "docker_engine", "podman_engine"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("installation")


def pytest_collection_finish() -> None:
    gc.freeze()  # half a gigabyte of modules and tests that stay is not gone through again and again


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """What is shared by a group of tests ends with the group: nothing of it runs beside all that follow."""
    if nextitem is None or _group(item) != _group(nextitem):
        known = item.session._fixturemanager._arg2fixturedefs
        for definition in (each for name in _RUNNING for each in known.get(name, ())):
            definition.finish(item._request)  # type: ignore[attr-defined]


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    return str(marker.args[0]) if marker else item.nodeid


@pytest.fixture(scope="session", autouse=True)
def _swept() -> Iterator[None]:
    """What an interrupted run of the tests left is removed before the next one counts what is there."""
    sweep_scratch()
    with pytest.MonkeyPatch.context() as patch, copied_servers():
        patch.setattr(drill, "LOCK", f"{drill.LOCK}-{os.getpid()}")  # tests beside each other wait for none
        if QUICK:
            patch.setattr(Instance, "create", lambda server, **options: starting("PostgreSQL"))
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Instance]:
    """A running server (the source), shared by all tests of this process."""
    with scratch_server(MAJOR, settings=LIVE) as server:
        yield server


@pytest.fixture(scope="session")
def second_server() -> Iterator[Instance]:
    """Another running server (the target of restores), shared by all tests of this process."""
    with scratch_server(MAJOR) as server:
        yield server


@pytest.fixture
def empty_server() -> Iterator[Instance]:
    """A server of this test alone, as initdb made it (half a second)."""
    with scratch_server(MAJOR) as server:
        yield server


@pytest.fixture
def new_database(postgres_server: Instance) -> Iterator[Callable[..., str]]:
    """Make databases in `postgres_server`; each is dropped after the test. `name` may be hostile."""
    yield from _databases(postgres_server)


@pytest.fixture
def new_second_database(second_server: Instance) -> Iterator[Callable[..., str]]:
    """Make databases in `second_server`; each is dropped after the test."""
    yield from _databases(second_server)


@pytest.fixture
def fresh_database(new_database: Callable[..., str]) -> str:
    """The name of an empty database in `postgres_server`."""
    return new_database()


@pytest.fixture
def connection(postgres_server: Instance, fresh_database: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection to `fresh_database`, in autocommit."""
    with psycopg.connect(postgres_server.conninfo(fresh_database), autocommit=True) as opened:
        yield opened


@pytest.fixture
def server_base() -> Iterator[Path]:
    """A folder that servers of root reach too (pytest's own is closed to others), gone afterwards.

    A process that still names it ten seconds after the test was left behind: the test fails.
    """

    folder = Path(tempfile.mkdtemp(prefix="po-test-", dir=temporary_base()))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    deadline = time.monotonic() + 10
    while left := [pid for pid in running_pids() if any(str(folder) in word for word in arguments(pid))]:
        assert time.monotonic() < deadline, f"left running: {[arguments(pid) for pid in left]}"
        time.sleep(0.05)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"this machine does not let root mount: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


_numbers = count(1)


def _databases(server: Instance) -> Iterator[Callable[..., str]]:
    made: list[str] = []

    def make(name: str = "", template: str = "template0") -> str:
        name = name or f"t{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(server.conninfo(), autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        made.append(name)
        return name

    yield make
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        for name in made:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
