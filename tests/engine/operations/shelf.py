"""A source in memory, whose things can fail to be backed up; and what one run of it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from engine.config.settings import Retention, SourceSettings
from engine.errors import ConfigurationError, LockedByAnother, PlatformOpsError, TransientFailure
from engine.operations.backup import BackupRun
from engine.progress import Progress
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.sources.base import Held, Source
from engine.sources.item import Item, Run
from engine.sources.kind import Facts
from engine.steps import InShell, Made, Step
from engine.stores.base import Store

THING, ALL = "thing", "all"
RETENTION = {THING: Retention(days=1, minimum=1), ALL: Retention(days=1, minimum=1)}
_STEPS = ("sweep what", "look at", "back up", "copy to", "apply retention")


class ThingFacts(Facts):
    letters: int = 0


class Shelf(Source):
    """`things` are what is on it, and each makes a set; all of them together make another that closes the run.

    `failing`: what is raised by the next tries, by thing (`ALL` is the closing set). `skipped`: why one is not backed
    up. `lost_after` so many questions the lock is lost. `log` is told what is done, in order.
    """

    def __init__(self, things: dict[str, bytes], settings: SourceSettings) -> None:
        self.name = "shelf"
        self.settings = settings
        self.things = things
        self.failing: dict[str, list[PlatformOpsError]] = {}
        self.skipped: dict[str, str] = {}
        self.lost_after: int | None = None
        self.locked = False
        self.while_backed_up: Callable[[], object] = lambda: None
        self.log: list[str] = []

    @property
    def address(self) -> str:
        return "the shelf"

    @contextmanager
    def lock(self, label: str) -> Iterator[Held]:
        if self.locked:
            raise LockedByAnother("Another backup of the shelf is running.")
        self.log.append(f"lock for {label}")
        yield self
        self.log.append("unlock")

    def require(self) -> None:
        if self.lost_after == 0:
            raise TransientFailure("The lock of the shelf was lost.")
        self.lost_after = None if self.lost_after is None else self.lost_after - 1

    def sweep(self) -> None:
        self.log.append("put back")

    def items(self) -> Sequence[Item]:
        things = (
            Item(THING, name, size=len(data), skipped=self.skipped.get(name, "")) for name, data in self.things.items()
        )
        return (*things, Item(ALL, closes=True))

    def backup(self, item: Item, run: Run, out: SetWriter, progress: Progress) -> ThingFacts:
        if item.closes:
            out.missing += [f"thing {one.name}: {one.skipped}" for one in run.items if one.skipped]
            out.add("index.txt", ",".join(one.item.name for one in run.stored).encode(), "index")
        else:
            out.add("thing.bin", self.things[item.name], "data", item.name)
            if run.shared is not None:
                run.shared.add(f"{item.name}.bin", self.things[item.name], "data", item.name)
        self.while_backed_up()
        if errors := self.failing.get(item.name or ALL):
            raise errors.pop(0)
        return ThingFacts(letters=len(self.things.get(item.name, b"")))


class Patient(InShell):
    """Tries a step again as often as it is worth it, as Prefect does."""

    def run(self, step: Step[Made]) -> Made:
        for _ in range(step.retries):
            try:
                return InShell.run(self, step)
            except PlatformOpsError as error:
                if not error.retryable:
                    raise
        return InShell.run(self, step)


@dataclass
class Outcome:
    """Who is told how far a run is."""

    goes: int = 0
    failures: list[BaseException] = field(default_factory=list)

    def goes_on(self) -> None:
        self.goes += 1

    def fails(self, error: BaseException) -> None:
        self.failures.append(error)


class Runs:
    """A shelf, its stores by name, and one run of its backup. A store that is None cannot be opened."""

    def __init__(self, stores: dict[str, Store | None], jobs: int = 1, exclude: tuple[str, ...] = ()) -> None:
        first, *copies = stores
        settings = SourceSettings(store=first, copies=tuple(copies), jobs=jobs, exclude=exclude)
        self.stores = stores
        self.shelf = Shelf({"small": b"ab", "large": b"abcdef"}, settings)
        self.reported = Outcome()
        self._tokens = iter(("calm-otter", "brave-heron", "shy-lynx"))

    def open(self, name: str) -> Repository:
        store = self.stores[name]
        if store is None:
            raise ConfigurationError(f"The store {name} is not there.")
        return Repository(store, retention=RETENTION)

    def run(self, *, wanted: Sequence[tuple[str, str]] = (), retain: bool = True) -> BackupRun:
        return BackupRun(self.shelf, self.open, next(self._tokens), "nightly-backup", wanted, retain)

    def carry_out(self, run: BackupRun | None = None, *, patient: bool = False) -> BackupRun:
        run = run or self.run()

        def report(what: str, done: int = 0, total: int = 0) -> None:
            if what.startswith(_STEPS):
                self.shelf.log.append(what)

        run.carry_out(Patient(report) if patient else InShell(report), self.reported)
        return run
