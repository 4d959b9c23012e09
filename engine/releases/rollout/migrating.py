"""Migrations of databases, from the new image, before anything that runs changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from engine.compose.commands import migrate_argv
from engine.errors import OperationFailed, PlatformOpsError, TransientFailure
from engine.progress import Progress
from engine.releases import records
from engine.releases.rollout.context import Context
from engine.releases.rollout.part import Part


@dataclass(frozen=True, slots=True)
class Migrations:
    """The migrations of one change."""

    context: Context

    def parts(self, names: Sequence[str]) -> list[Part]:
        """Those of these services; each runs once, before its service is replaced."""
        return [
            Part(
                f"migrate {name}",
                f"migrate the database of {name}",
                partial(self._migrate, name),
                partial(self._end_migration, name),
            )
            for name in names
            if name in self.context.plan.migrations
        ]

    def _migrate(self, name: str, progress: Progress) -> None:
        service = self.context.model.services[name]
        self._end_migration(name, progress)  # what a killed run left
        once = self._once(name)
        progress(f"{' '.join(service.rollout.migrate)} of {self.context.version(name) or service.image}")
        minutes = self.context.site.settings.migration_minutes
        argv = migrate_argv(self.context.compose, name, once, service.rollout.migrate)
        try:
            done = self.context.docker.tried(argv, timeout=minutes * 60)
        except TransientFailure as error:
            raise OperationFailed(
                f"The migration of {name} was ended after {minutes:g} minutes (`migration_minutes`), or its host was lost; its "
                f"database may be migrated in part. {error}"
            ) from None
        if done.code != 0:
            lines = (done.stdout.decode("utf8", "replace") + done.stderr).strip().splitlines()
            last = self.context.docker.masked(" | ".join(lines[-4:]))[-500:]
            raise OperationFailed(
                f"The migration of {name} ended with {done.code}; the old version goes on, and its database may be "
                f"migrated in part. It said: {last}"
            )

    def _once(self, name: str) -> str:
        return f"{self.context.model.project}-{name}-migration"

    def _end_migration(self, name: str, progress: Progress) -> None:
        """A migration whose run was killed goes on in the engine: it ends before anything else is done."""
        del progress
        self.context.docker.tried(("docker", "rm", "--force", self._once(name)))

    def remember(self) -> None:
        """A migration that ran for a release which did not come to be: the sets before it are those to go back to."""
        ran = tuple(each.partition(" ")[2] for each in self.context.journal.begun if each.startswith("migrate "))
        if ran:
            breaking = tuple(name for name in ran if name in self.context.plan.breaking)
            records.remember(
                self.context.site,
                records.Migrated(services=ran, breaking=breaking, backups=self.context.staged.release.backups),
            )

    def remark_on(self, error: BaseException) -> None:
        """Say with the failure that the databases are migrated already.

        Raises:
            OperationFailed: the same failure, and that.
        """
        ran = [each.partition(" ")[2] for each in self.context.journal.done if each.startswith("migrate ")]
        if ran and isinstance(error, PlatformOpsError):
            way = (
                "platformctl rollback-db brings back the one before."
                if self.context.staged.release.backups
                else "it stays so."
            )
            raise OperationFailed(
                f"{error} The migration of {', '.join(ran)} had run: the old version serves, with the migrated database; {way}"
            ) from None
