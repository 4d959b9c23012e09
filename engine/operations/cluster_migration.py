"""Migrations of an application's database: what is due, and running it under the lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from engine.config.clusters import ClusterSettings, MigrationSettings
from engine.errors import ConfigurationError, OperationFailed
from engine.kubernetes import rights
from engine.kubernetes.connection import Connection
from engine.kubernetes.lease import held
from engine.kubernetes.objects import LEASES
from engine.migrations import database
from engine.migrations.database import State
from engine.migrations.files import Change, changes, fingerprint, read_folder
from engine.operations.timings import Timings
from engine.progress import Progress
from engine.secrets import resolve
from engine.steps import NO_RECORD, Record, Step, Steps

Way = Literal["up", "down", "to", "force", "status"]


def settings_of(name: str, cluster: ClusterSettings) -> MigrationSettings:
    """Raises ConfigurationError where no database is configured."""
    if cluster.migrations is None:
        raise ConfigurationError(f"The cluster {name} has no database to migrate; add [clusters.{name}.migrations].")
    return cluster.migrations


def password_of(cluster: ClusterSettings, settings: MigrationSettings) -> str:
    """The database's password, of Secrets Manager where nothing else is said.

    Raises:
        ConfigurationError: it is not there, or may not be read.
    """
    return resolve(settings.password or f"aws:kerp/{cluster.environment}/db-password")


@contextmanager
def session(cluster: ClusterSettings, settings: MigrationSettings) -> Iterator[database.Connection]:
    with database.connected(settings, password_of(cluster, settings)) as connection:
        yield connection


def due(cluster: ClusterSettings, settings: MigrationSettings) -> dict[str, str]:
    """The migrations that were not run yet, in their order, each with the SHA-256 of its file: what approval is bound to.

    Raises:
        Dirty: one failed before.
    """
    migrations = read_folder(Path(settings.directory))
    with session(cluster, settings) as connection:
        found = database.state(connection)
        database.require_clean(found)
    found_due = changes(migrations, found.version, migrations[-1].version) if migrations else []
    return {str(each.migration): fingerprint(each.read()) for each in found_due}


def migrate_alone(
    connection: Connection, owner: str, run: MigrationRun, steps: Steps, record: Record = NO_RECORD
) -> None:
    """Run migrations outside of a deploy, under the application's lock: none runs beside a deploy or its backup.

    Raises:
        LockedByAnother: another run is at this application: who, and since when.
        PlatformOpsError: what `carry_out` raises.
    """
    settings_of(run.name, run.cluster)
    if run.way in ("status", "force"):  # nothing is run
        run.carry_out(steps, record)
        return
    rights.require(connection, [*rights.rights(LEASES, "get", "create", "update")])
    with held(connection, connection.settings.deployment, owner) as lease:
        run.still_ours = lease.require
        run.carry_out(steps, record)


@dataclass
class MigrationRun:
    """Up to the last version, some down, to one, or what somebody says the database has (`force`)."""

    name: str
    cluster: ClusterSettings
    way: Way
    version: int | None = None
    """For `to` and `force`: which, 0 is before the first. For `down`: how many."""
    approved: Mapping[str, str] | None = None
    """Of a deploy: which files, and the SHA-256 of each; no other is run."""
    still_ours: Callable[[], None] = lambda: None
    """Asked before each file: raises when the application's lock is held no more."""
    before: State = field(default=State(None, False))
    after: State = field(default=State(None, False))
    ran: list[str] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)

    def carry_out(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """All of it, under the lock.

        Raises:
            LockedByAnother: another migration runs.
            Dirty: one failed before.
            OperationFailed: one failed now, or they are others than those that were approved.
        """
        settings = settings_of(self.name, self.cluster)
        migrations = read_folder(Path(settings.directory))
        with session(self.cluster, settings) as connection, database.locked(connection, settings):
            self.before = self.after = database.state(connection)
            if self.way == "force":
                self._force(connection, migrations)
            elif self.way != "status":
                database.require_clean(self.before)
                found = self._changes(migrations)
                self._require_approved(found)
                for change in found:
                    work: Callable[[Progress], None] = partial(self._one, connection, change)
                    self.timings.run(steps, record, Step(str(change), work))
            self.after = database.state(connection)

    def _require_approved(self, found: list[Change]) -> None:
        if self.approved is None:
            return
        if {str(each.migration): fingerprint(each.read()) for each in found} != self.approved:
            raise OperationFailed(
                f"The migrations are others than were planned ({', '.join(self.approved)}): none was run. Plan again."
            )

    def _one(self, connection: database.Connection, change: Change, progress: Progress) -> None:
        del progress
        statements = change.read()
        if self.approved is not None and fingerprint(statements) != self.approved[str(change.migration)]:
            raise OperationFailed(
                f"The file of {change.migration} changed while those before it ran: it was not run. Plan again."
            )
        self.still_ours()
        database.run(connection, change, statements)
        self.ran.append(str(change))

    def _force(self, connection: database.Connection, migrations: database.Migrations) -> None:
        known = [0, *(each.version for each in migrations)]
        if self.version not in known:
            raise ConfigurationError(
                f"Say which version the database has: one of {', '.join(map(str, known))}; 0 is before the first."
            )
        database.note(connection, self.version or None, dirty=False)

    def _changes(self, migrations: database.Migrations) -> list[Change]:
        known, current = [each.version for each in migrations], self.before.version
        if self.way == "up":
            return changes(migrations, current, known[-1] if known else current)
        if self.way == "to":
            if self.version is None:
                raise ConfigurationError("Say to which version; 0 is before the first.")
            return changes(migrations, current, self.version or None)
        if self.version is None or self.version < 1:
            raise ConfigurationError("Say how many migrations to go back; one at least.")
        done = [each for each in known if current is not None and each <= current]
        left = done[: max(0, len(done) - self.version)]
        return changes(migrations, current, left[-1] if left else None)
