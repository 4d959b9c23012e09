"""A restore into a live server: what is chosen, what has to be confirmed, and one database after the other."""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from engine.errors import ConfigurationError, PartialSuccess, PlatformOpsError, failed_in_part
from engine.progress import Progress, counted
from engine.repository.catalogue import catalogue
from engine.repository.repository import Repository
from engine.sources.postgres.restore.choice import Choices, RestoreChoice, choose
from engine.sources.postgres.restore.renaming import free_name
from engine.sources.postgres.restore.restore import RestoredDatabase, live_among, restore_databases
from engine.sources.postgres.restore.target import programs_for
from engine.sources.postgres.server.server import Server
from engine.steps import NO_RECORD, REACH_PAUSE_SECONDS, REACH_RETRIES, Record, Step, Steps
from engine.words.wording import meant


@dataclass
class RestoreRun:
    """One restore of `databases` (none: all of them) of the sets of `source`, into `server`.

    `choices`, `live`, `restored` and `failures` are what it has come to; `live` are the databases whose place is taken,
    `spare` those that are left out, since they hold nothing. `despite_errors`: what of a database comes back is taken
    where not all of it does.
    """

    repository: Repository
    source: str
    server: Server
    databases: Sequence[str]
    which: str
    in_place: bool
    choices: Sequence[RestoreChoice] = ()
    spare: Sequence[str] = ()
    live: Sequence[str] = ()
    confirmed: Collection[str] = ()
    restored: list[RestoredDatabase] = field(default_factory=list)
    failures: list[tuple[str, PlatformOpsError]] = field(default_factory=list)
    despite_errors: bool = False
    wanted: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.monotonic() - self.began

    def plan(self, steps: Steps) -> None:
        """Choose the sets, and see what is in their place. Nothing is touched.

        Raises:
            ConfigurationError: no such set or database.
            PlatformOpsError: the store or the server cannot be asked.
        """
        found = steps.run(Step("choose the sets to restore", self._choose, 2, 10))
        self.choices, self.spare, self.failures = found.chosen, found.spare, list(found.refused)
        self.wanted = len(found.chosen) + len(found.refused)
        look = Step(f"look at {self.server.address}", self._look, REACH_RETRIES, REACH_PAUSE_SECONDS)
        self.live = steps.run(look)

    def require_confirmed(self, confirmed: Sequence[str], how: str, hint: str = "") -> None:
        """Go on only when each live database that is to be replaced was named a second time; `how` says where.

        Raises:
            ConfigurationError: one was not, or one was that is not restored.
        """
        confirmed = [meant(name, [choice.database for choice in self.choices]) for name in confirmed]
        if lacking := sorted(set(self.live) - set(confirmed)):
            again = " ".join(f"--confirm {shlex.quote(name)}" for name in lacking) if how == "--confirm" else ""
            raise ConfigurationError(
                f"In place takes the place of {', '.join(map(repr, lacking))}: repeat each name in {how}{hint}. Nothing was "
                f"done.{f' To replace them all, add: {again}' if again else ''}"
            )
        if unknown := sorted(set(confirmed) - {choice.database for choice in self.choices}):
            raise ConfigurationError(f"{how} names {unknown[0]!r}, which is not restored; nothing was done.")
        self.confirmed = frozenset(confirmed)

    def carry_out(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """One database after the other: one that fails does not keep the others from coming back."""
        for choice in self.choices:
            made = steps.tried(Step(f"restore {choice.database}", partial(self._restore, choice)))
            if isinstance(made, RestoredDatabase):
                self.restored.append(made)
            else:
                self.failures.append((choice.database, made))
            record.goes_on()

    def problem(self) -> PlatformOpsError | None:
        """Why not all came back; None when it did."""
        named = [(f"database {name!r}", error) for name, error in self.failures]
        failed = failed_in_part(named, "restored", len(self.restored), "restored")
        partly = [one for one in self.restored if not one.is_equal]
        if failed or not partly:
            return failed
        first, more = partly[0], f" So did {len(partly) - 1} more." if len(partly) > 1 else ""
        return PartialSuccess(
            f"Database {first.database!r} came back as {first.name!r}, and is not what was backed up: "
            f"{counted(len(first.refused), 'thing')} did not come back, {counted(len(first.differences), 'difference')} "
            f"to its proof, each named in the report.{more}"
        )

    def _choose(self, progress: Progress) -> Choices:
        del progress
        stored = catalogue(self.repository, self.source)
        return choose(
            stored, self.repository, self.source, self.databases, self.which, despite_errors=self.despite_errors
        )

    def _look(self, progress: Progress) -> tuple[str, ...]:
        """Ask the server what would end the restore later: whether it is there, may be written, and has the names."""
        del progress
        programs_for(self.server)
        if self.in_place:
            return live_among(self.server, self.choices)
        free = []
        for choice in self.choices:
            try:
                free_name(self.server, choice)
                free.append(choice)
            except ConfigurationError as error:
                if len(self.choices) == 1:
                    raise
                self.failures.append((choice.database, error))
        self.choices = free
        return ()

    def _restore(self, choice: RestoreChoice, progress: Progress) -> RestoredDatabase:
        may_replace = choice.database in self.confirmed
        return restore_databases(
            self.repository,
            self.server,
            [choice],
            in_place=self.in_place,
            may_replace=may_replace,
            despite_errors=self.despite_errors,
            progress=progress,
        )[0]


def require_wanted(databases: Sequence[str], everything: bool, how: str) -> None:
    """What to restore was said: a form that was submitted as it came restores nothing.

    Raises:
        ConfigurationError: neither names nor everything, or both; `how` says what to do.
    """
    if everything == bool(databases):
        raise ConfigurationError(f"Say what to restore: {how}.")
