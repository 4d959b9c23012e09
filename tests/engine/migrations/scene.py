"""A PostgreSQL that asks for passwords, the migrations of a small application, and a (moto) Secrets Manager."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import boto3
import psycopg
import pytest
from psycopg import sql

from engine.config.clusters import ClusterSettings, MigrationSettings
from engine.sources.postgres.programs.installed import server_programs
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.socket_and_port import free_port
from engine.streams.spool import temporary_base
from tests.engine.stores.servers import S3Server, moto

MAJOR = 16
_numbers = count(1)
PASSWORD = "canary-of-the-database"
FILES = {
    "000001_orders.up.sql": "CREATE TABLE orders (id int); INSERT INTO orders VALUES (1);",
    "000001_orders.down.sql": "DROP TABLE orders;",
    "000002_lines.up.sql": "ALTER TABLE orders ADD line text;",
    "000002_lines.down.sql": "ALTER TABLE orders DROP line;",
    "000003_total.up.sql": "ALTER TABLE orders ADD total numeric;",
}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with moto(tmp_path_factory.mktemp("aws")) as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    """One that asks for passwords, over TCP."""
    folder = Path(tempfile.mkdtemp(prefix="po-test-", dir=temporary_base()))
    folder.chmod(0o711)
    made = Instance(
        folder / "server",
        server_programs(MAJOR),
        port=free_port(24_500 + 20 * _worker()),
        listen="127.0.0.1",
        settings={"fsync": "off"},
    )
    try:
        made.create(password="of the superuser", sync=False)
        made.start()
        yield made
    finally:
        made.stop(immediate=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def connection(server: Instance) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The superuser's, in a database of the test's own."""
    name = f"kerp_{next(_numbers)}"
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with psycopg.connect(server.conninfo(name), autocommit=True) as opened:
        yield opened


@pytest.fixture
def database(
    server: Instance,
    connection: psycopg.Connection[tuple[object, ...]],
    aws: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> ClusterSettings:
    """A cluster's settings; the password of its role is in Secrets Manager and nowhere else."""
    for name, value in {
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "tester-secret",
        "AWS_DEFAULT_REGION": "ap-northeast-2",
    }.items():
        monkeypatch.setenv(name, value)
    manager = boto3.client("secretsmanager")
    if not manager.list_secrets()["SecretList"]:
        manager.create_secret(Name="kerp/staging/db-password", SecretString=PASSWORD)
    fresh_database = connection.info.dbname
    role = f"{fresh_database}_owner"
    with psycopg.connect(server.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(PASSWORD)))
        admin.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(fresh_database), sql.Identifier(role))
        )
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    found = MigrationSettings(
        directory=str(tmp_path),
        host="127.0.0.1",
        port=server.port,
        database=fresh_database,
        user=role,
        sslmode="disable",
    )
    return ClusterSettings(namespace="kerp-staging", environment="staging", manifests="/none", migrations=found)


def _worker() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
