"""Migrations of an application's database: what is due, and running it under the lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from engine.config.clusters import ClusterSettings, MigrationSettings
from engine.errors import ConfigurationError
from engine.migrations import database
from engine.migrations.database import State
from engine.migrations.files import Change, changes, read_folder
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


def due(cluster: ClusterSettings, settings: MigrationSettings) -> tuple[str, ...]:
    """The migrations that were not run yet, by name.

    Raises:
        Dirty: one failed before.
    """
    migrations = read_folder(Path(settings.directory))
    with session(cluster, settings) as connection:
        found = database.state(connection)
        database.require_clean(found)
    last = migrations[-1].version if migrations else None
    return tuple(str(each.migration) for each in changes(migrations, found.version, last)) if migrations else ()


@dataclass
class MigrationRun:
    """Up to the last version, some down, to one, or what somebody says the database has (`force`)."""

    name: str
    cluster: ClusterSettings
    way: Way
    version: int | None = None
    """For `to` and `force`: which, 0 is before the first. For `down`: how many."""
    before: State = field(default=State(None, False))
    after: State = field(default=State(None, False))
    ran: list[str] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)

    def carry_out(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """All of it, under the lock.

        Raises:
            LockedByAnother: another migration runs.
            Dirty: one failed before.
            OperationFailed: one failed now.
        """
        settings = settings_of(self.name, self.cluster)
        migrations = read_folder(Path(settings.directory))
        with session(self.cluster, settings) as connection, database.locked(connection, settings):
            self.before = self.after = database.state(connection)
            if self.way == "force":
                self._force(connection)
            elif self.way != "status":
                database.require_clean(self.before)
                for change in self._changes(migrations):
                    work: Callable[[Progress], None] = partial(self._one, connection, change)
                    self.timings.run(steps, record, Step(str(change), work))
            self.after = database.state(connection)

    def _one(self, connection: database.Connection, change: Change, progress: Progress) -> None:
        database.run(connection, [change], progress)
        self.ran.append(str(change))

    def _force(self, connection: database.Connection) -> None:
        if self.version is None:
            raise ConfigurationError("Say which version the database has; 0 is before the first.")
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
