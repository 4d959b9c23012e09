"""A backup run of a source, whatever it keeps: its steps, their order, and what it comes to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from engine.errors import ConfigurationError, CouldNotVerify, ItemGone, PartialSuccess, PlatformOpsError, failed_in_part
from engine.operations.backup_result import BackupResult
from engine.progress import Progress
from engine.repository.body import FileEntry, Timing
from engine.repository.copies import CopyRun, failed_copy, require_copies, update_copy
from engine.repository.keys import source_prefix
from engine.repository.lease import PATIENCE_SECONDS
from engine.repository.prune import prune
from engine.repository.prune_plan import plan_prune
from engine.repository.repository import Repository
from engine.repository.sweep import sweep_incomplete
from engine.repository.unchanged import record_unchanged
from engine.repository.writing import SetWriter
from engine.sources.base import Held, Source
from engine.sources.item import Forecast, Item, Run, StoredItem, Unchanged
from engine.sources.registry import kind_named
from engine.steps import NO_RECORD, REACH_PAUSE_SECONDS, REACH_RETRIES, Record, Step, Steps
from engine.words.wording import meant

EXCLUDED = "excluded by the configuration"
RETRIES = 2
"""How often an item that failed for a reason of the moment is backed up again, by whoever has the patience."""


@dataclass
class BackupRun:
    """One run: the source, where its sets go, and what they are called.

    `token` and the time it began make the sets' ids, so that a step that is tried again writes to the same place.
    `wanted` names what alone is backed up, by kind and name: then there is no closing set. `label` tells others who
    holds the lock.
    """

    source: Source
    open: Callable[[str], Repository]
    token: str
    label: str
    wanted: Sequence[tuple[str, str]] = ()
    retain: bool = True
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.repository = self.open(self.source.settings.store)
        self._copies: dict[str, CopyRun] = {}
        self.result = BackupResult(self.source.name, self.repository.store.name, bool(self.repository.recipients))

    def carry_out(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """All of it, in this order. What goes wrong after the sets are stored spoils nothing in the first store.

        Raises:
            LockedByAnother: another run is at this source.
            PlatformOpsError: before anything was stored; or the lock was lost.
        """
        result = self.result
        try:
            with ExitStack() as stack:
                held = self._held(steps, stack)
                steps.run(Step(f"sweep what a killed run left of {self.source.name}", self._sweep, 1))
                result.found = steps.run(Step(f"look at {self.source.address}", self._items, 2, 10))
                result.remarks = self.source.remarks(result.found)
                todo = self._chosen()
                try:
                    self._back_up(todo, held, steps, record)
                    self._close(steps)
                finally:
                    self._leave_nothing_half()
                held.require()
                retaining = self.retain and not result.failures
                for store in self.source.settings.copies:
                    held.require()
                    step = Step(f"copy to {store}", partial(self._copy, store, retaining), 2, 60)
                    self._collect_copy(store, steps.tried(step))
                held.require()
                if retaining:
                    pruned = steps.tried(Step(f"apply retention to {self.source.name}", self._prune, 2, 10))
                    result.prune_failure = str(pruned) if isinstance(pruned, PlatformOpsError) else ""
        finally:
            result.seconds = time.monotonic() - self.began

    def look(self, steps: Steps) -> tuple[Sequence[Item], Forecast]:
        """What would be backed up, and what of it not. Nothing is locked, stored or put right.

        Raises:
            PlatformOpsError: the source cannot be looked at, or has not what is wanted.
        """
        self.result.found = steps.run(Step(f"look at {self.source.address}", self._items, 2, 10))
        self.result.remarks = self.source.remarks(self.result.found)
        todo = self._chosen()
        forecast = steps.run(Step("see what they would lack", lambda _: self.source.forecast(todo), 2, 10))
        self.result.failures = list(forecast.failures)
        return todo, forecast

    def _held(self, steps: Steps, stack: ExitStack) -> Held:
        """The source's lock, taken by the run's first step: it finds out whether the source answers."""

        def take(progress: Progress) -> Held:
            del progress
            return stack.enter_context(self.source.lock(self.label))

        return steps.run(Step(f"lock {self.source.address}", take, REACH_RETRIES, REACH_PAUSE_SECONDS))

    def problem(self) -> PlatformOpsError | None:
        """Why the run is not wholly good; None when it is."""
        result = self.result
        named = [(self._called(item), error) for item, error in result.failures]
        if failed := failed_in_part(named, "backed up", len(result.stored) + len(result.unchanged), "stored"):
            return failed
        partial_success = [run.problem for run in result.copies if run.problem]
        if result.prune_failure:
            partial_success.append(f"The backup is stored, but retention could not be applied: {result.prune_failure}")
        return PartialSuccess(" ".join(partial_success)) if partial_success else None

    def _called(self, item: Item) -> str:
        noun = _noun(item.kind)
        return f"{noun} {item.name!r}" if item.name else f"the {noun} set"

    def _sweep(self, progress: Progress) -> None:
        """The lock's holder knows that nobody else is at what is left."""
        self.source.sweep()
        self.repository.store.sweep(source_prefix(self.source.name))
        sweep_incomplete(self.repository, self.source.name, datetime.now(UTC), older_than=None, progress=progress)

    def _items(self, progress: Progress) -> Sequence[Item]:
        del progress
        omitted = self.source.settings.exclude
        return tuple(
            replace(item, skipped=EXCLUDED) if item.name in omitted and not (item.skipped or item.closes) else item
            for item in self.source.items()
        )

    def _chosen(self) -> list[Item]:
        """What is to be backed up now, the largest first; what closes the run comes after.

        Raises:
            ConfigurationError: a wanted one does not exist or is skipped.
        """
        found = {(item.kind, item.name): item for item in self.result.found if not item.closes}
        self.wanted = [
            (kind, meant(name, [known for each, known in found if each == kind])) for kind, name in self.wanted
        ]
        for kind, name in self.wanted:
            item = found.get((kind, name))
            if item is None:
                known = ", ".join(sorted(other for each, other in found if each == kind)[:20])
                raise ConfigurationError(f"{self.source.address} has no {_noun(kind)} {name!r}; it has: {known}.")
            if item.skipped:
                raise ConfigurationError(f"{name!r} of {self.source.address} cannot be backed up: {item.skipped}.")
        wanted = dict.fromkeys(self.wanted)  # what is named twice is read once
        chosen = [found[one] for one in wanted] or [item for item in found.values() if not item.skipped]
        return sorted(chosen, key=lambda item: -item.size)

    def _back_up(self, todo: Sequence[Item], held: Held, steps: Steps, record: Record) -> None:
        def ended(number: int, made: StoredItem | Unchanged | PlatformOpsError) -> None:
            self._collect(todo[number], made)
            held.require()
            record.goes_on()

        backups = [self._backup_step(item) for item in todo]
        steps.each(backups, self.source.settings.jobs, ended, record.fails)
        self.result.stored.sort(key=lambda one: self.result.found.index(one.item))

    def _backup_step(self, item: Item) -> Step[StoredItem | Unchanged]:
        return Step(f"back up {item.label}", partial(self.store_item, item), RETRIES, 30)

    def store_item(self, item: Item, progress: Progress) -> StoredItem | Unchanged:
        """Store one item; whatever fails takes back all that it stored."""
        began, started = time.monotonic(), datetime.now(UTC)
        run, closing = self._run(), self._closing()
        out = SetWriter(self.repository, run.key(item.kind, item.name))
        shared = SetWriter(self.repository, run.key(closing.kind, closing.name)) if closing else None
        if item.closes:
            out.adopt(file for one in self.result.stored for file in one.shared)
            out.timings = {one.item.name: Timing(started=one.started, seconds=one.seconds) for one in run.stored}
            shared = None
        out.begin()
        try:
            facts = self.source.backup(item, replace(run, shared=shared), out, progress)
            if isinstance(facts, Unchanged):
                self._take_back(out, shared)
                record_unchanged(self.repository, facts.since, datetime.now(UTC), facts.seen)
                return facts
            seconds = time.monotonic() - began
            out.timings = out.timings or {item.name: Timing(started=started, seconds=seconds)}
            body = out.publish(facts)
        except BaseException:
            self._take_back(out, shared)
            raise
        files: tuple[FileEntry, ...] = shared.files if shared else ()
        return StoredItem(item, out.key, body, facts, started, seconds, files)

    def _take_back(self, *writers: SetWriter | None) -> None:
        for one in writers:
            with suppress(PlatformOpsError):  # the store may be what failed: a new try begins by it, or the next run
                if one is not None:
                    one.withdraw()

    def _run(self) -> Run:
        return Run(self.source.name, self.started, self.token, self.result.found, tuple(self.result.stored))

    def _closing(self) -> Item | None:
        """What closes this run; None where only some of it is wanted."""
        return None if self.wanted else next((item for item in self.result.found if item.closes), None)

    def _collect(self, item: Item, made: StoredItem | Unchanged | PlatformOpsError) -> None:
        if isinstance(made, StoredItem):
            self.result.stored.append(made)
        elif isinstance(made, Unchanged):
            self.result.unchanged.append((item, made))
        elif isinstance(made, ItemGone) and not self.wanted:
            self.result.found = tuple(one.as_gone() if one == item else one for one in self.result.found)
        else:
            self.result.failures.append((item, made))

    def _close(self, steps: Steps) -> None:
        """Make the closing set, when nothing failed."""
        closing = self._closing()
        if closing and not self.result.failures:
            self._collect(closing, steps.tried(self._backup_step(closing)))

    def _leave_nothing_half(self) -> None:
        """Without a closing set, also when the run ends early, nothing that was stored for it stays."""
        closing = self._closing()
        if closing and self.result.closed is None:
            with suppress(PlatformOpsError):
                self.withdraw(closing)

    def withdraw(self, closing: Item) -> None:
        """Take back what was stored for the closing set: this run's own parts, and no other run's."""
        key, store = self._run().key(closing.kind, closing.name), self.repository.store
        stored = list(store.keys(key.prefix))
        if key.manifest not in stored:
            store.delete(stored)
            store.sweep(key.prefix)

    def _copy(self, store: str, apply_retention: bool, progress: Progress) -> CopyRun:
        """Bring a further store up to date; fails while anything is missing there."""
        run = update_copy(
            self.repository,
            self.open(store),
            self.source.name,
            datetime.now(UTC),
            self.label,
            progress,
            apply_retention=apply_retention,
        )
        self._copies[store] = run
        require_copies([run])
        return run

    def _collect_copy(self, store: str, made: CopyRun | PlatformOpsError) -> None:
        if isinstance(made, PlatformOpsError):  # what was copied all the same is told too
            made = self._copies.get(store) or failed_copy(self.source.settings.store, store, made)
        self.result.copies.append(made)

    def _prune(self, progress: Progress) -> None:
        result = self.result
        result.plan = plan_prune(self.repository, self.source.name, datetime.now(UTC), sizes=True)
        result.pruned = prune(self.repository, result.plan, self.label, progress, wait_seconds=PATIENCE_SECONDS)


def _noun(kind: str) -> str:
    """What people call such a thing; the kind's own name where nothing here knows it."""
    try:
        return kind_named(kind).noun
    except CouldNotVerify:
        return kind
