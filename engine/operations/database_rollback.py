"""Go back with the databases: the sets that were taken before a release, and the release before it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from engine.errors import ConfigurationError, OperationFailed, PartialSuccess, PlatformOpsError
from engine.hosts.ending import children_spared
from engine.operations.platform_state import start_service, stop_service
from engine.operations.release import ReleaseRun
from engine.releases import records
from engine.releases.lock import Held, LockLost, held
from engine.releases.platform import Platform
from engine.releases.release import Release
from engine.releases.staging import Staged
from engine.steps import NO_RECORD, Record, Step, Steps


class Restoring(Protocol):
    """A restore of databases in place, as their own source carries it out; what is replaced is kept under another name."""

    @property
    def restored(self) -> Sequence[object]:
        """What is in its place by now."""
        ...

    def plan(self, steps: Steps) -> None: ...

    def require_confirmed(self, confirmed: Sequence[str], how: str, hint: str = "") -> None: ...

    def carry_out(self, steps: Steps, record: Record = NO_RECORD) -> None: ...

    def problem(self) -> PlatformOpsError | None: ...


Restore = Callable[[str, str, Sequence[str]], Restoring]
"""Given a source, a set's id and names of databases."""


@dataclass
class DatabaseRollback:
    """`databases` are those to restore (none: all that a service of the platform names); `images` is what follows."""

    platform: Platform
    restore: Restore
    images: ReleaseRun
    databases: Sequence[str] = ()
    release: Release | None = None
    restored: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    restoring: Restoring | None = field(default=None, repr=False)

    def carry_out(self, confirmed: Sequence[str], how: str, steps: Steps, record: Record = NO_RECORD) -> None:
        """Choose and confirm, stop the services, restore each database beside the live one and swap the names, start the
        release before. Killed on the way, it is simply started again.

        Raises:
            ConfigurationError: there is no backup of a release, or a name was not confirmed; nothing was done.
            PlatformOpsError: why it failed; the services stay stopped when a database is not what it should be.
        """
        with children_spared(), held(self.platform.site, self.images.owner) as lease:
            self.images.recover(lease, steps, record)
            staged = self.platform.running()
            if staged is None:
                raise ConfigurationError(f"Nothing was deployed to {self.platform.name} yet.")
            self.release, images = self._release(staged.release)
            source, set_id, names = self._sets(self.release, staged)
            self.restoring = restoring = self.restore(source, set_id, names)
            restoring.plan(steps)
            restoring.require_confirmed(confirmed, how)
            self._require_enough(staged, names)
            self.stopped = self._users(staged, names)
            records.mark_databases(self.platform.site, names)
            for service in reversed(self.stopped):
                lease.require()
                steps.run(Step(f"stop {service}", partial(stop_service, self.platform, staged, service)))
            lease.require()
            restoring.carry_out(steps, record)
            if problem := restoring.problem():
                if not restoring.restored:
                    records.forget_databases(self.platform.site)  # they are as they were: their services may start
                raise OperationFailed(
                    f"{problem} The services {', '.join(self.stopped)} are stopped; start this again"
                    f"{'.' if restoring.restored else ', or start them (platformctl start): the databases are as they were.'}"
                )
            self.restored = tuple(names)
            if images:
                self._images_back(lease, steps, record)
                return
            records.forget_databases(self.platform.site)
            for service in self.stopped:
                lease.require()
                steps.run(Step(f"start {service}", partial(start_service, self.platform, staged, service)))
            if not set(_named(staged)) - set(names):
                records.forget_migrated(self.platform.site)

    def _images_back(self, lease: Held, steps: Steps, record: Record) -> None:
        """Databases are those of the release before: what was stopped may run in its version only.

        Raises:
            OperationFailed: the images did not go back; what uses the databases is stopped again.
        """
        try:
            self.images.go_back(lease, steps, record)
        except LockLost:
            raise
        except PartialSuccess:  # they are back; their record is not in the store
            records.forget_databases(self.platform.site)
            raise
        except PlatformOpsError as error:
            if running := self.platform.running():
                for service in reversed(self.stopped):
                    steps.run(Step(f"stop {service}", partial(stop_service, self.platform, running, service)))
            raise OperationFailed(
                f"The databases {', '.join(self.restored)} are back, and the images are not: {error} The services "
                f"{', '.join(self.stopped)} stay stopped; start this again."
            ) from None
        records.forget_databases(self.platform.site)

    def _require_enough(self, staged: Staged, names: Sequence[str]) -> None:
        """The release before may run only where every database that it cannot live with has gone back.

        Raises:
            ConfigurationError: one has not; nothing was done.
        """
        migrated = records.read_migrated(self.platform.site)
        breaking = (*staged.release.breaking, *(migrated.breaking if migrated else ()))
        known = [staged.model.services[name] for name in breaking if name in staged.model.services]
        if missing := sorted({name for each in known for name in each.rollout.databases} - set(names)):
            raise ConfigurationError(
                f"The database {missing[0]} was migrated so that the version before cannot use it: it has to go back too; name it, "
                "or none."
            )

    def _release(self, running: Release) -> tuple[Release, bool]:
        """The release that is taken back, and whether images go back too: the one that runs; or, where images did go back
        already or a migrated release did not come to be, that one."""
        migrated = records.read_migrated(self.platform.site)
        if migrated is not None:
            found, images = running.model_copy(update={"backups": migrated.backups}), False
        elif taken_back := records.taken_back(self.platform.site):
            found, images = taken_back[-1], False
        else:
            found, images = running, True
            records.last_good(self.platform.site)  # said before anything is stopped
        if not found.backups:
            what = "the release that did not come to be" if migrated else f"release {found.id}"
            raise ConfigurationError(
                f"No backup was taken before {what}; name `backup` in [platforms.{self.platform.name}], or "
                "restore databases by themselves (platformctl restore)."
            )
        return found, images

    def _sets(self, release: Release, staged: Staged) -> tuple[str, str, tuple[str, ...]]:
        """The source, the id of the set of the whole, and the databases of it that are to be restored."""
        keys = [tuple(each.split("/")) for each in release.backups]
        there = [parts[2] for parts in keys if len(parts) == 4]
        whole = next((parts for parts in keys if len(parts) == 3), None)
        if whole is None:
            raise ConfigurationError(
                f"The backup before {release.id} has no set of the whole; restore databases by themselves."
            )
        wanted = self.databases or [name for name in _named(staged) if name in there]
        if missing := [name for name in wanted if name not in there]:
            known = ", ".join(there)
            raise ConfigurationError(f"The backup before {release.id} has no database {missing[0]!r}; it has: {known}.")
        if not wanted:
            raise ConfigurationError(
                f"No service of the platform names a database that was backed up (`databases` in x-rollout); there are: {', '.join(there)}."
            )
        return whole[0], whole[2], tuple(wanted)

    @staticmethod
    def _users(staged: Staged, names: Collection[str]) -> tuple[str, ...]:
        services = staged.model.services.values()
        return staged.model.in_order(each.name for each in services if set(names) & set(each.rollout.databases))


def _named(staged: Staged) -> list[str]:
    return sorted({name for each in staged.model.services.values() for name in each.rollout.databases})
