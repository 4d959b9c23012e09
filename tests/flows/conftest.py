"""A source that asks for a password, an encrypted store, and both as blocks of a Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pyrage
import pytest

from blocks import BackupStore
from engine.config.settings import FolderStore
from engine.repository.repository import Repository, open_repository
from engine.sources.postgres.programs.installed import server_programs
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.socket_and_port import free_port
from engine.sources.postgres.settings import ServerSettings
from engine.sources.registry import default_retention
from tests.blocks.made import ServerBlock
from tests.conftest import MAJOR, WORKER
from tests.flows.scene import Scene, set_up
from tests.webhook import Webhook, webhook

CANARY = "canary-5f3a-never-seen-anywhere"


@dataclass(frozen=True)
class Platform:
    """The server behind the blocks `platform` and `nightly`."""

    instance: Instance
    store: Path
    repository: Repository

    def sql(self, database: str, *statements: str) -> None:
        with psycopg.connect(self.instance.conninfo(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@pytest.fixture(scope="module")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import shutil
    import tempfile

    from engine.streams.spool import temporary_base

    folder = Path(tempfile.mkdtemp(prefix="po-flows-", dir=temporary_base()))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def source(server_folder: Path) -> Iterator[Instance]:
    """A server that listens on TCP and asks for the canary as its password."""
    server = Instance(
        server_folder / "pg",
        server_programs(MAJOR),
        port=free_port(23_700 + WORKER * 20),
        listen="127.0.0.1",
        settings={"fsync": "off"},
    )
    server.create(password=CANARY, sync=False)
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def platform(source: Instance, prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Two databases with an owner each, and the blocks an operator would have."""
    folder = tmp_path_factory.mktemp("platform")
    store, password, identity = folder / "store", folder / "password", folder / "identity"
    key = pyrage.x25519.Identity.generate()
    password.write_text(CANARY)
    identity.write_text(str(key))
    settings = FolderStore(
        path=str(store), recipients=(str(key.to_public()),), identity=f"file:{identity}", retention=default_retention()
    )
    server = ServerSettings(host="127.0.0.1", port=source.port, password=f"file:{password}", store="nightly", jobs=2)
    ServerBlock.of(server).save("platform", overwrite=True)
    BackupStore.of(settings).save("nightly", overwrite=True)
    made = Platform(source, store, open_repository("nightly", settings))
    made.sql("postgres", "CREATE ROLE desk", "CREATE DATABASE desk OWNER desk", "CREATE DATABASE hub")
    for database in ("desk", "hub"):
        made.sql(
            database,
            "CREATE TABLE note (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)",
            "INSERT INTO note (body) SELECT 'note ' || i FROM generate_series(1, 500) AS i",
        )
    return made


@pytest.fixture
def monitor() -> Iterator[Webhook]:
    with webhook() as made:
        yield made


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A whole installation with real workers, shared by the modules that need one."""
    with set_up(tmp_path_factory.mktemp("scene")) as made:
        yield made
