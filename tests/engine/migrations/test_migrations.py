"""SQL migrations on a real PostgreSQL, the password from a real (moto) Secrets Manager."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import boto3
import psycopg
import pytest
from psycopg import sql

from engine.config.clusters import ClusterSettings, MigrationSettings
from engine.errors import ConfigurationError, LockedByAnother, OperationFailed, TransientFailure
from engine.migrations.database import Dirty
from engine.migrations.files import changes, read_folder
from engine.operations.cluster_migration import MigrationRun, Way, due
from engine.progress import silent
from engine.sources.postgres.programs.installed import server_programs
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.socket_and_port import free_port
from engine.steps import InShell
from engine.streams.spool import temporary_base
from tests.conftest import MAJOR, WORKER
from tests.engine.stores.servers import S3Server, moto

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
        port=free_port(24_500 + WORKER * 20),
        listen="127.0.0.1",
        settings={"fsync": "off"},
    )
    made.create(password="of the superuser", sync=False)
    made.start()
    try:
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


def run(cluster: ClusterSettings, way: Way = "up", version: int | None = None) -> MigrationRun:
    made = MigrationRun("staging", cluster, way, version)
    made.carry_out(InShell(silent))
    return made


def folder(cluster: ClusterSettings) -> Path:
    assert cluster.migrations is not None
    return Path(cluster.migrations.directory)


def test_up_down_to_a_version_and_what_is_due(
    database: ClusterSettings, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    assert database.migrations is not None
    assert due(database, database.migrations) == ("000001_orders", "000002_lines", "000003_total")
    first = run(database)
    assert (first.after.version, first.after.dirty) == (3, False)
    assert first.ran == ["up 000001_orders", "up 000002_lines", "up 000003_total"]
    assert run(database).ran == []
    assert connection.execute("SELECT version, dirty FROM schema_migrations").fetchall() == [(3, False)]

    with pytest.raises(ConfigurationError, match=r"000003_total has no \.down\.sql: there is no way back from it"):
        run(database, "down", 1)
    (folder(database) / "000003_total.down.sql").write_text("ALTER TABLE orders DROP total;")
    assert run(database, "down", 2).after.version == 1
    assert run(database, "to", 2).after.version == 2
    assert run(database, "to", 0).after.version is None
    assert connection.execute("SELECT count(*) FROM schema_migrations").fetchall() == [(0,)]
    with pytest.raises(ConfigurationError, match="The version 9 was asked for is none of the migrations here"):
        run(database, "to", 9)


def test_one_that_fails_half_way_leaves_the_database_dirty_and_nothing_half_done(
    database: ClusterSettings, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    (folder(database) / "000002_lines.up.sql").write_text(
        "ALTER TABLE orders ADD line text; SELECT secret FROM nothing;"
    )
    with pytest.raises(
        OperationFailed, match=r"The migration up 000002_lines failed: relation .nothing. does not exist"
    ) as caught:
        run(database)
    assert PASSWORD not in str(caught.value)
    assert connection.execute("SELECT version, dirty FROM schema_migrations").fetchall() == [(2, True)]
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'orders'"
    assert connection.execute(columns).fetchall() == [("id",)]
    with pytest.raises(Dirty, match="dirty at version 2"):
        run(database)
    assert database.migrations is not None
    with pytest.raises(Dirty):
        due(database, database.migrations)

    (folder(database) / "000002_lines.up.sql").write_text(FILES["000002_lines.up.sql"])
    run(database, "force", 1)
    assert run(database).after.version == 3


def test_two_never_run_at_once(database: ClusterSettings, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    (folder(database) / "000001_orders.up.sql").write_text("SELECT pg_sleep(3); CREATE TABLE orders (id int);")
    first = threading.Thread(target=lambda: run(database))
    first.start()
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    deadline = time.monotonic() + 20
    while connection.execute(sleeping).fetchall() == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(LockedByAnother, match="Another migration of"):
        run(database)
    first.join()
    assert run(database, "status").after.version == 3


def test_what_cannot_be_reached_or_is_not_configured_says_so(database: ClusterSettings) -> None:
    assert database.migrations is not None
    nowhere = database.model_copy(update={"environment": "production"})
    with pytest.raises(ConfigurationError, match="kerp/production/db-password"):
        run(nowhere)
    closed = database.migrations.model_copy(update={"port": 1})
    with pytest.raises(TransientFailure, match="cannot be reached") as caught:
        run(database.model_copy(update={"migrations": closed}))
    assert PASSWORD not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"add \[clusters.staging.migrations\]"):
        run(database.model_copy(update={"migrations": None}))


def test_names_that_are_none(tmp_path: Path) -> None:
    assert read_folder(tmp_path) == ()
    (tmp_path / "1_a.up.sql").write_text("")
    (tmp_path / "001_b.up.sql").write_text("")
    with pytest.raises(ConfigurationError, match="has the version 1 of"):
        read_folder(tmp_path)
    (tmp_path / "001_b.up.sql").unlink()
    (tmp_path / "2_c.down.sql").write_text("")
    with pytest.raises(ConfigurationError, match=r"The migration 2 in .* has no \.up\.sql"):
        read_folder(tmp_path)
    (tmp_path / "2_c.down.sql").rename(tmp_path / "two.sql")
    with pytest.raises(ConfigurationError, match="is no migration's name"):
        read_folder(tmp_path)


def test_the_way_is_the_one_golang_migrate_takes(tmp_path: Path) -> None:
    for name in ("1_a.up.sql", "1_a.down.sql", "5_b.up.sql", "5_b.down.sql"):
        (tmp_path / name).write_text("")
    found = read_folder(tmp_path)
    assert [(str(each), each.version) for each in changes(found, None, 5)] == [("up 1_a", 1), ("up 5_b", 5)]
    assert [(str(each), each.version) for each in changes(found, 5, None)] == [("down 5_b", 1), ("down 1_a", None)]
    assert changes(found, 5, 5) == []
