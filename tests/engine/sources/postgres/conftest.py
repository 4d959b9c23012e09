"""The demo's data and a backup of it: made once per test process, changed by nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.dataset import load
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from tests.conftest import LIVE, MAJOR
from tests.engine.sources.postgres.backups import Backup, back_up, server_of, store_in


@pytest.fixture(scope="session")
def demo_server() -> Iterator[Instance]:
    """A server with all of the demo's data, small."""
    with scratch_server(MAJOR, settings=LIVE) as server:
        load(server.conninfo(), scale=0.01)
        yield server


@pytest.fixture(scope="session")
def demo_backup(demo_server: Instance, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """Its cluster set and database sets, unencrypted."""
    return back_up(server_of(demo_server), store_in(tmp_path_factory.mktemp("demo-store")))


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "store"
