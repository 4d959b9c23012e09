"""One small server with one small database for all faults that leave it alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from tests.conftest import LIVE, MAJOR
from tests.engine.cli.conftest import password_server
from tests.engine.sources.postgres.backups import execute
from tests.engine.stores.conftest import start_server
from tests.faults.site import FaultSite, fault_site

__all__ = ["password_server", "start_server"]  # fixtures, like those below

DATABASE = "app"
TABLES = (
    "CREATE TABLE orders AS SELECT n, md5(n::text) AS note FROM generate_series(1, 1000) n",
    "CREATE TABLE items AS SELECT n FROM generate_series(1, 10) n",
)


@pytest.fixture(scope="session")
def fault_server() -> Iterator[Instance]:
    """A server of these tests alone."""
    with scratch_server(MAJOR, settings=LIVE) as server:
        fill(server)
        yield server


def fill(server: Instance) -> None:
    execute(server, "postgres", f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    execute(server, DATABASE, *TABLES)


@pytest.fixture
def site(fault_server: Instance, tmp_path: Path) -> FaultSite:
    """An empty site of this test alone."""
    return fault_site(tmp_path, fault_server)
