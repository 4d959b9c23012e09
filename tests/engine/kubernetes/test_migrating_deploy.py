"""A deploy with migrations: a verified backup first, then the migrations, then the rollout; what fails stops it there."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from engine.config.clusters import ClusterSettings
from engine.config.settings import SourceSettings
from engine.errors import ConfigurationError, LockedByAnother, OperationFailed
from engine.kubernetes import records
from engine.kubernetes.lease import held
from engine.migrations.database import Dirty
from engine.operations.cluster_migration import MigrationRun, migrate_alone
from engine.operations.cluster_release import ClusterRun
from engine.progress import silent
from engine.repository.repository import Repository
from engine.steps import InShell
from tests.engine.kubernetes.application import App
from tests.engine.migrations.scene import aws, connection, database, server
from tests.engine.operations.shelf import Shelf
from tests.engine.repository.made import MemoryStore
from tests.kubebox import NEW, OLD

__all__ = ["aws", "connection", "database", "server"]  # fixtures
pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("kubernetes")]


def _run(app: App, store: MemoryStore, version: str, meanwhile: Callable[[], object] = lambda: None) -> ClusterRun:
    """What happens `meanwhile` happens while the backup begins."""

    def opened(name: str) -> Shelf:
        meanwhile()
        return Shelf({name: b"rows"}, SourceSettings(store="nightly"))

    return ClusterRun(
        app.connection, "deploy", "a test", lambda plan: "", lambda name: Repository(store), opened, version
    )


def _killed() -> None:
    raise SystemExit


def test_backup_migrations_and_rollout_in_this_order(
    app: App, database: ClusterSettings, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    assert database.migrations is not None
    app.settings |= {"migrations": database.migrations.model_dump(), "environment": "staging", "backup": "kerp"}
    store = MemoryStore("nightly")
    run = _run(app, store, OLD)
    run.carry_out(InShell(silent))
    assert run.plan is not None
    assert tuple(run.plan.migrations) == ("000001_orders", "000002_lines", "000003_total")
    titles = [title for title, *_ in run.timings]
    verified = next(index for index, title in enumerate(titles) if title.startswith("verify shelf/"))
    assert verified < titles.index("up 000001_orders") < titles.index("up 000003_total") < titles.index("apply")
    [release] = records.releases(app.connection, "kerp-api")
    assert release.migrations == tuple(run.plan.migrations) and release.backups == run.backups and len(run.backups) > 0
    assert connection.execute("SELECT version FROM schema_migrations").fetchall() == [(3,)]

    # What is edited or changed while the backup runs was approved by nobody.
    fourth = app.folder / "000004_fourth.up.sql"
    fourth.write_text("CREATE TABLE fourth (id int);")
    with pytest.raises(OperationFailed, match=r"The migrations are others than were planned.*none was run"):
        _run(app, store, NEW, lambda: fourth.write_text("DROP TABLE orders;")).carry_out(InShell(silent))
    fourth.write_text("CREATE TABLE fourth (id int);")

    with pytest.raises(SystemExit):
        _run(app, store, NEW, _killed).carry_out(InShell(silent))

    def change() -> None:
        app.cluster.kubectl("-n", app.namespace, "set", "env", "deployment/kerp-api", "FOO=bar")

    changed = _run(app, store, NEW, change)
    with pytest.raises(OperationFailed, match="The application changed while its migrations ran: they have run"):
        changed.carry_out(InShell(silent))
    assert changed.recovered.startswith(
        "The deploy of a test was cut off before its backup was done, while 000004_fourth were to be run; nothing"
    )
    states = [(each.state, each.migrating) for each in records.releases(app.connection, "kerp-api")]
    assert states == [("good", False), ("failed", True), ("failed", True), ("failed", True)]
    assert connection.execute("SELECT version FROM schema_migrations").fetchall() == [(4,)]
    assert app.image() == OLD, "nothing was applied"

    (app.folder / "000005_wrong.up.sql").write_text("ALTER TABLE nothing ADD x int;")
    wrong = _run(app, store, NEW)
    with pytest.raises(OperationFailed, match="The migration up 000005_wrong failed"):
        wrong.carry_out(InShell(silent))
    assert app.image() == OLD, "nothing was applied"
    with pytest.raises(Dirty, match="dirty at version 5"):
        _run(app, store, NEW).carry_out(InShell(silent))


def test_in_production_no_migration_without_a_backup(app: App, database: ClusterSettings) -> None:
    assert database.migrations is not None
    migrations = database.migrations.model_dump() | {"password": "aws:kerp/staging/db-password"}
    app.settings |= {"migrations": migrations, "environment": "production", "approval": False}
    with pytest.raises(ConfigurationError, match=r"nothing is backed up before it: name `backup` in \[clusters.box\]"):
        app.deploy(OLD)

    alone = MigrationRun("box", app.connection.settings, "up")
    with held(app.connection, "kerp-api", "a deploy"):
        with pytest.raises(LockedByAnother, match="is locked by a deploy since"):
            migrate_alone(app.connection, "a test", alone, InShell(silent))
        status = MigrationRun("box", app.connection.settings, "status")
        migrate_alone(app.connection, "a test", status, InShell(silent))
    assert alone.ran == [] and status.after.version is None
