"""A restore of what is kept, whatever it is: which sets, what has to be confirmed, and one thing after the other."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from engine.errors import (
    ConfigurationError,
    CouldNotVerify,
    DamagedSet,
    OperationFailed,
    PlatformOpsError,
    failed_in_part,
)
from engine.progress import Progress
from engine.repository.catalogue import catalogue
from engine.repository.keys import TIME, Asset
from engine.repository.manifest import read_manifest
from engine.repository.repository import Repository
from engine.repository.restoring import restoring
from engine.repository.stored import NEWEST, Catalogue, StoredSet
from engine.repository.verify_set import verified
from engine.sources.base import Held, Restored, Source
from engine.sources.kind import Kind
from engine.sources.registry import type_of
from engine.steps import NO_RECORD, REACH_PAUSE_SECONDS, REACH_RETRIES, Record, Step, Steps
from engine.words.wording import meant


@dataclass(frozen=True)
class Choice:
    """One thing, the set it comes from, what it is going to be called, and whether something live is called so."""

    name: str
    set: StoredSet
    into: str
    live: bool = False


@dataclass
class RestoreRun:
    """One restore of `names` (none: the only thing there is, or `everything`) of the sets of a source.

    `into` is what a single one is to be called ('': its own name in place, else one beside it). `label` tells others who
    holds the lock. `choices`, `restored` and `failures` are what it has come to.
    """

    repository: Repository
    source: Source
    names: Sequence[str]
    which: str
    label: str
    everything: bool = False
    into: str = ""
    in_place: bool = False
    choices: Sequence[Choice] = ()
    confirmed: frozenset[str] = frozenset()
    restored: list[Restored] = field(default_factory=list)
    failures: list[tuple[str, PlatformOpsError]] = field(default_factory=list)
    seconds: float = 0.0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)

    @property
    def kind(self) -> Kind:
        """What is restored."""
        return type_of(self.source.settings).kinds[0]

    @property
    def live(self) -> tuple[str, ...]:
        """Names of live things whose place is taken."""
        return tuple(choice.into for choice in self.choices if choice.live)

    def plan(self, steps: Steps) -> None:
        """Choose the sets, and see what is in their place. Nothing is touched.

        Raises:
            ConfigurationError: no such set; a name beside the live ones that is taken; nothing to restore was said.
            PlatformOpsError: the store or the source cannot be asked.
        """
        chosen = steps.run(Step("choose the sets to restore", self._choose, 2, 10))
        look = Step(f"look at {self.source.address}", partial(self._look, chosen), REACH_RETRIES, REACH_PAUSE_SECONDS)
        self.choices = steps.run(look)

    def require_confirmed(self, confirmed: Sequence[str], how: str) -> None:
        """Go on only when each live thing that is to be replaced was named a second time; `how` says where.

        Raises:
            ConfigurationError: one was not, or one was that is not restored.
        """
        known = [choice.into for choice in self.choices]
        confirmed = [meant(name, known) for name in confirmed]
        if confirmed and not self.in_place:
            raise ConfigurationError(f"{how} belongs to a restore in place; beside the live ones none is replaced.")
        if lacking := sorted(set(self.live) - set(confirmed)):
            again = " ".join(f"--confirm {shlex.quote(name)}" for name in lacking) if how == "--confirm" else ""
            raise ConfigurationError(
                f"In place takes the place of {', '.join(map(repr, lacking))}: repeat each name in {how}. Nothing was "
                f"done.{f' To replace them all, add: {again}' if again else ''}"
            )
        if unknown := sorted(set(confirmed) - set(known)):
            raise ConfigurationError(f"{how} names {unknown[0]!r}, which is not restored; nothing was done.")
        self.confirmed = frozenset(confirmed)

    def carry_out(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """One thing after the other: one that fails does not keep the others from coming back.

        Raises:
            LockedByAnother: another run is at this source.
            PlatformOpsError: the source or the store is away before anything was done; or the lock was lost.
        """
        try:
            with ExitStack() as stack:
                held = self._held(steps, stack)
                steps.run(Step(f"sweep what a killed run left of {self.source.name}", lambda _: self.source.sweep(), 1))
                keys = [choice.set.key for choice in self.choices]
                stack.enter_context(restoring(self.repository.store, keys, self.label))
                for choice in self.choices:
                    held.require()
                    made = steps.tried(Step(f"restore {choice.name}", partial(self._restore, choice)))
                    if isinstance(made, Restored):
                        self.restored.append(made)
                    else:
                        self.failures.append((choice.name, made))
                    self.seconds = time.monotonic() - self.began
                    record.goes_on()
        finally:
            self.seconds = time.monotonic() - self.began

    def problem(self) -> PlatformOpsError | None:
        """Why not all came back; None when it did."""
        named = [(f"{self.kind.noun} {name!r}", error) for name, error in self.failures]
        return failed_in_part(named, "restored", len(self.restored), "restored")

    def _held(self, steps: Steps, stack: ExitStack) -> Held:
        def take(progress: Progress) -> Held:
            del progress
            return stack.enter_context(self.source.lock(self.label))

        return steps.run(Step(f"lock {self.source.address}", take, REACH_RETRIES, REACH_PAUSE_SECONDS))

    def _choose(self, progress: Progress) -> list[StoredSet]:
        del progress
        stored = catalogue(self.repository, self.source.name)
        if self.which not in NEWEST and not self.names:
            return [self._fitting(stored.find(self.which, Asset(self.source.name, self.kind.name, "")))]
        word = "newest-usable" if self.which == "newest" else self.which
        found = [self._fitting(stored.find(word, asset)) for asset in self._assets(stored)]
        if self.into and len(found) > 1:
            raise ConfigurationError(f"One {self.kind.noun} only can be called {self.into!r}; restore one at a time.")
        return found

    def _assets(self, stored: Catalogue) -> list[Asset]:
        """What is to be restored.

        Raises:
            ConfigurationError: nothing was said, and there are several.
        """
        own = [one for one in stored.assets if (one.source, one.kind) == (self.source.name, self.kind.name)]
        if self.names and self.everything:
            raise ConfigurationError(f"Say either which {self.kind.noun}s to restore, or all of them.")
        if self.names:
            wanted = dict.fromkeys(Asset(self.source.name, self.kind.name, name) for name in self.names)
            return [stored.called(asset) for asset in wanted]
        if not own:
            raise ConfigurationError(
                f"There is no set of a {self.kind.noun} of {self.source.name} in {stored.address}; `list` shows what is stored."
            )
        if len(own) > 1 and not self.everything:
            names = ", ".join(asset.name for asset in own[:20])
            raise ConfigurationError(f"Say which {self.kind.noun} to restore, or all of them; there are: {names}.")
        return own

    def _fitting(self, found: StoredSet) -> StoredSet:
        if (found.key.source, found.key.kind) != (self.source.name, self.kind.name):
            raise ConfigurationError(f"{found.key} is no set of a {self.kind.noun} of {self.source.name}.")
        return found

    def _look(self, chosen: Sequence[StoredSet], progress: Progress) -> list[Choice]:
        """Which names are taken.

        Raises:
            ConfigurationError: one is, and nothing was said of its place.
        """
        del progress
        choices = [self._choice(one) for one in chosen]
        taken = next((choice.into for choice in choices if choice.live), None)
        if taken and not self.in_place:
            raise ConfigurationError(
                f"{self.source.address} has a {self.kind.noun} {taken!r}; give another name, or restore in place of it."
            )
        return choices

    def _choice(self, one: StoredSet) -> Choice:
        name = one.key.name or self.source.name
        into = self.into or (name if self.in_place else f"{name}-restored-{self.started.strftime(TIME)}")
        return Choice(name, one, into, self.source.taken(into))

    def _restore(self, choice: Choice, progress: Progress) -> Restored:
        """Its stored bytes are read first: a set that is damaged touches nothing."""
        key = choice.set.key
        report = verified(self.repository, key, progress)
        if report is None:
            raise OperationFailed(f"{key} is no longer in {self.repository.store.address}; `list` shows what is.")
        if report.result != "passed":
            raise (DamagedSet if report.result == "failed" else CouldNotVerify)(report.sentence)
        if choice.into not in self.confirmed and self.source.taken(choice.into):
            raise ConfigurationError(f"There is a {self.kind.noun} {choice.into!r} by now, which nobody confirmed.")
        body = read_manifest(self.repository, key)
        return self.source.restore(self.repository, body, choice.into, in_place=self.in_place, progress=progress)
