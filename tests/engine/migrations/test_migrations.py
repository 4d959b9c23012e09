"""SQL migrations on a real PostgreSQL, the password from a real (moto) Secrets Manager."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psycopg
import pytest

from engine.config.clusters import ClusterSettings
from engine.errors import ConfigurationError, LockedByAnother, OperationFailed, TransientFailure
from engine.migrations.database import Dirty
from engine.migrations.files import changes, read_folder
from engine.operations.cluster_migration import MigrationRun, Way, due
from engine.progress import silent
from engine.steps import InShell
from tests.engine.migrations.scene import FILES, PASSWORD, aws, connection, database, server

__all__ = ["aws", "connection", "database", "server"]  # fixtures


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
    assert list(due(database, database.migrations)) == ["000001_orders", "000002_lines", "000003_total"]
    first = run(database)
    assert (first.after.version, first.after.dirty) == (3, False)
    assert first.ran == ["up 000001_orders", "up 000002_lines", "up 000003_total"]
    assert run(database).ran == []
    assert connection.execute("SELECT version, dirty FROM schema_migrations").fetchall() == [(3, False)]

    with pytest.raises(ConfigurationError, match=r"000003_total has no \.down\.sql: there is no way back from it"):
        run(database, "down", 1)
    (folder(database) / "000003_total.down.sql").write_text("ALTER TABLE orders DROP total;")
    with pytest.raises(ConfigurationError, match="Say how many migrations to go back"):
        run(database, "down", 0)
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BEGIN; SELECT secret FROM nothing; COMMIT;", "relation .nothing. does not exist"),
        ("BEGIN; ALTER TABLE orders ADD line text;", "it has a BEGIN and no COMMIT"),
    ],
)
def test_a_file_with_a_transaction_of_its_own_that_fails_says_why_and_leaves_nothing(
    database: ClusterSettings, connection: psycopg.Connection[tuple[object, ...]], text: str, message: str
) -> None:
    (folder(database) / "000002_lines.up.sql").write_text(text)
    with pytest.raises(OperationFailed, match=rf"The migration up 000002_lines failed: {message}.*dirty at version 2"):
        run(database)
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'orders'"
    assert connection.execute(columns).fetchall() == [("id",)]
    assert run(database, "status").after.dirty


def test_what_a_file_sets_holds_for_itself_alone(
    database: ClusterSettings, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    """A schema as pg_dump writes it begins with an empty search_path."""
    (folder(database) / "000001_orders.up.sql").write_text(
        "SELECT pg_catalog.set_config('search_path', '', false); SET lock_timeout = 1;"
        "CREATE TABLE public.orders (id int);"
    )
    (folder(database) / "000002_lines.up.sql").write_text(
        "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS waits; ALTER TABLE orders ADD line text;"
    )
    assert run(database).after.version == 3
    assert connection.execute("SELECT waits FROM seen").fetchall() == [("1min",)]


def test_no_other_files_run_than_those_that_were_approved(database: ClusterSettings) -> None:
    assert database.migrations is not None
    approved = due(database, database.migrations)
    (folder(database) / "000002_lines.up.sql").write_text("DROP TABLE orders;")
    refused = pytest.raises(OperationFailed, match=r"The migrations are others than were planned.*none was run")
    with refused:
        MigrationRun("staging", database, "up", approved=approved).carry_out(InShell(silent))
    (folder(database) / "000002_lines.up.sql").write_text(FILES["000002_lines.up.sql"])
    (folder(database) / "000004_more.up.sql").write_text("DROP TABLE orders;")
    with refused:
        MigrationRun("staging", database, "up", approved=approved).carry_out(InShell(silent))

    def lost() -> None:
        raise OperationFailed("the lock was lost")

    with pytest.raises(OperationFailed, match="the lock was lost"):
        MigrationRun("staging", database, "up", still_ours=lost).carry_out(InShell(silent))
    assert run(database, "status").after.version is None


def test_what_the_server_refuses_is_a_sentence_and_a_version_that_is_none_is_not_taken(
    database: ClusterSettings, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    with pytest.raises(ConfigurationError, match="one of 0, 1, 2, 3; 0 is before the first"):
        run(database, "force", 20)
    assert run(database, "force", 2).after.version == 2, "also where the table was not there yet"
    connection.execute("ALTER TABLE schema_migrations OWNER TO CURRENT_USER")
    with pytest.raises(OperationFailed, match=r"refused kerp_.*: permission denied for table schema_migrations"):
        run(database, "status")


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
