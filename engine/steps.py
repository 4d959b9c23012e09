"""A step of an operation: a name, how often it is worth trying, and one call.

An operation says its steps and their order; who carries them out is given: `InShell` calls them one by one, Prefect
makes each a task (tasks/steps.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from engine.errors import PlatformOpsError
from engine.progress import Progress

Made = TypeVar("Made")
_Made_co = TypeVar("_Made_co", covariant=True)
Then = Callable[[int, Made | PlatformOpsError], None]
Broken = Callable[[BaseException], None]
REACH_RETRIES, REACH_PAUSE_SECONDS = 10, 30.0
"""A server that is away when the run begins (it restarts, it is updated) is waited for so long: five minutes."""


@dataclass(frozen=True, slots=True)
class Step(Generic[_Made_co]):
    """`title` is for people. Whoever has the patience may try `retries` times more, `pause_seconds` after a failure that
    says a new try may help: `work` starts clean each time."""

    title: str
    work: Callable[[Progress], _Made_co]
    retries: int = 0
    pause_seconds: float = 0.0


class Steps(Protocol):
    """How steps are carried out."""

    def run(self, step: Step[Made]) -> Made:
        """What the step makes; its error is raised."""
        ...

    def tried(self, step: Step[Made]) -> Made | PlatformOpsError:
        """What the step makes, or why it failed."""
        ...

    def each(self, steps: Sequence[Step[Made]], at_once: int, then: Then[Made], broken: Broken) -> None:
        """Carry out several, so many at a time. `then` is told the number of each with what it came to, as they end.

        What ends this early (a signal, an error of `then`) is told to `broken` at once: what still runs is waited for.
        """
        ...


@dataclass(frozen=True, slots=True)
class InShell:
    """Each step is a call; who sits at a shell starts a failed one again."""

    progress: Progress

    def run(self, step: Step[Made]) -> Made:
        self.progress(step.title)
        return step.work(self.progress)

    def tried(self, step: Step[Made]) -> Made | PlatformOpsError:
        try:
            return self.run(step)
        except PlatformOpsError as error:
            return error

    def each(self, steps: Sequence[Step[Made]], at_once: int, then: Then[Made], broken: Broken) -> None:
        pool = ThreadPoolExecutor(at_once)
        try:
            running = [pool.submit(self.tried, step) for step in steps]
            for number, future in enumerate(running):
                then(number, future.result())
        except BaseException as error:
            broken(error)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Record(Protocol):
    """Who is told how far a run is."""

    def goes_on(self) -> None: ...

    def fails(self, error: BaseException) -> None:
        """It ends early by this, and what still runs is waited for. Whoever began the run gets the error after that."""
        ...


class NoRecord:
    """In a shell the report at the end says all, and the error itself is shown."""

    def goes_on(self) -> None:
        """Nothing is kept meanwhile."""

    def fails(self, error: BaseException) -> None:
        """It is shown."""


NO_RECORD = NoRecord()
