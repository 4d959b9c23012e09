"""One backup for all tests that only look at it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from engine.sources.postgres.programs.installed import server_programs
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.socket_and_port import free_port
from engine.streams.spool import temporary_base
from tests.conftest import MAJOR
from tests.engine.cli.command import Answer
from tests.engine.cli.site import Site, new_site

DATABASE = "cli a | `b`"
PASSWORD = "canary-5f1d0c7a"


@pytest.fixture(scope="session")
def databases(postgres_server: Instance) -> Iterator[str]:
    """A small database with a hostile name, for the whole session."""
    name = sql.Identifier(DATABASE)
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    with psycopg.connect(postgres_server.conninfo(DATABASE), autocommit=True) as made:
        made.execute("CREATE TABLE orders AS SELECT n, repeat('x', 100) AS note FROM generate_series(1, 1000) n")
    yield DATABASE
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture(scope="session")
def backed_up(
    postgres_server: Instance, databases: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Site, Answer]:
    """A site with one backup, and what the command said. Tests that change the store use `copied`."""
    site = new_site(tmp_path_factory.mktemp("site"), postgres_server)
    return site, site.run("backup", "--json")


@pytest.fixture
def copied(backed_up: tuple[Site, Answer], postgres_server: Instance, tmp_path: Path) -> Site:
    """A site of this test's own with the same sets in its store."""
    site = new_site(tmp_path, postgres_server)
    shutil.copytree(backed_up[0].store, site.store)
    return site


@pytest.fixture
def empty_site(postgres_server: Instance, databases: str, tmp_path: Path) -> Site:
    """A site of this test's own with nothing stored."""
    return new_site(tmp_path, postgres_server)


@pytest.fixture(scope="session")
def password_server() -> Iterator[Instance]:
    """A server that listens on 127.0.0.1 and asks for `PASSWORD`."""
    folder = Path(tempfile.mkdtemp(prefix="po-test-", dir=temporary_base()))
    server = Instance(
        folder / "pg", server_programs(MAJOR), port=free_port(25_000 + os.getpid() % 5000), listen="127.0.0.1"
    )
    folder.chmod(0o711)
    try:
        server.create(password=PASSWORD, sync=False)
        server.start()
        yield server
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)
