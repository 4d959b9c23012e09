"""Carry out the parts of a rollout, or take them back; the journal knows where it stands at every moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.errors import OperationFailed
from engine.progress import Progress
from engine.releases.lock import LockLost
from engine.releases.rollout.migrating import Migrations
from engine.releases.rollout.part import Part
from engine.releases.rollout.rollout import Rollout

Run = Callable[[str, Callable[[Progress], None]], None]
"""Carries out one step, by its title."""


def carry_out(rollout: Rollout, run: Run, require: Callable[[], None]) -> None:
    """Every part; what fails before the release is accepted is taken back, in the opposite order.

    `require` raises when the lock is lost: then nothing more is touched, and whoever has it puts things right.

    Raises:
        PlatformOpsError: what failed. What could not be taken back is in the sentence, and stays in the journal.
    """
    done: list[Part] = []
    try:
        for part in rollout.parts():
            require()
            if part.name in rollout.journal.done:
                continue
            rollout.begins(part)
            done.append(part)
            run(part.title, part.do)
            rollout.ended(part)
    except LockLost:
        raise
    except BaseException as error:
        if not rollout.journal.accepted:
            _take_back(rollout, done, run, require, f"{error} And then it")
            Migrations(rollout.context).remark_on(error)
        raise
    require()
    rollout.close()


def take_back(rollout: Rollout, run: Run, require: Callable[[], None]) -> None:
    """Revert what a killed run began.

    Raises:
        OperationFailed: it could not be; the journal stays.
    """
    begun = [part for part in rollout.parts() if part.name in rollout.journal.begun]
    _take_back(rollout, begun, run, require, "It")


def _take_back(rollout: Rollout, done: Sequence[Part], run: Run, require: Callable[[], None], failed: str) -> None:
    """What cannot be taken back at once is tried again after the others: one may stand on another."""
    left = [part for part in reversed(done) if part.undo is not None]
    problem: Exception | None = None
    for _ in range(2):
        again = []
        for part in left:
            require()
            try:
                assert part.undo is not None  # noqa: S101 - chosen so
                run(f"take back: {part.title}", part.undo)
            except LockLost:
                raise
            except Exception as error:  # noqa: BLE001 - whatever one part cannot take back, the others are
                problem = error
                again.append(part)
        left = again
    if left:
        names = ", ".join(part.title for part in left)
        raise OperationFailed(
            f"{failed} could not be taken back ({names}): {problem} The next run tries again, or platformctl resume."
        )
    require()
    rollout.revoke()
