"""What a change does to a cluster: its record, apply, wait, smoke test; and the way back where it cannot succeed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from engine.errors import OperationFailed, PlatformOpsError, TransientFailure
from engine.kubernetes import records
from engine.kubernetes.application import apply, as_applied, put_back
from engine.kubernetes.connection import Connection
from engine.kubernetes.errors import Forbidden, Unauthorized
from engine.kubernetes.executing import execute
from engine.kubernetes.lease import Held, LeaseLost
from engine.kubernetes.objects import (
    CONFIG,
    DEPLOYMENTS,
    REPLICA_SETS,
    Object,
    images_of,
    name_of,
    selector_of,
    template_of,
)
from engine.kubernetes.records import Release
from engine.kubernetes.rollout import own_replica_sets
from engine.kubernetes.waiting import Evidence, Rollout, RolloutFailed, Superseded
from engine.operations.cluster_planning import Planned
from engine.operations.timings import Timings
from engine.progress import Progress
from engine.steps import Record, Step, Steps

_Made = TypeVar("_Made")
UNDO_SECONDS = 300.0
LEFT_TO_THE_NEXT = (LeaseLost, TransientFailure, Unauthorized, Forbidden)
"""After these nothing more can be written: the record stays begun, and the next run puts right what this one began."""


@dataclass
class Change:
    """One release, from its record to its end. The lock is held by whoever calls."""

    connection: Connection
    timings: Timings
    release: Release | None = None
    undone: str = ""
    smoke: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    before: list[Object] = field(default_factory=list)
    """What is changed, as it was."""
    created: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    """Secrets that a run that was cut off changed: what they held is not known any more."""

    @property
    def deployment(self) -> str:
        return self.connection.settings.deployment

    def begin(self, lease: Held, release: Release, planned: Planned) -> None:
        """Write down what is about to be done, and what is there before it."""
        changing = [each for each in planned.wanted if each.plan().action != "keep"]
        self.before = [as_applied(each.live) for each in changing if each.live]
        self.created = tuple(f"{each.body['kind']} {name_of(each.body)}" for each in changing if not each.live)
        others = [name_of(each.body) for each in changing if each.resource == DEPLOYMENTS]
        changes = {
            "others": tuple(name for name in others if name != self.deployment),
            "unrecorded": tuple(f"Secret {name_of(each)}" for each in self.before if each["kind"] == "Secret"),
        }
        self.release = release.model_copy(update=changes)
        lease.require()
        records.write(self.connection, self.release, self.before)

    def note(self, **changes: Any) -> None:
        """Write down how far it is."""
        assert self.release is not None  # noqa: S101 - it has begun
        self.release = self.release.model_copy(update=changes)
        records.write(self.connection, self.release, self.before)

    def end(self, state: str, why: str = "", revision: int = 0) -> None:
        assert self.release is not None  # noqa: S101 - it has begun
        changes = {"state": state, "why": why, "revision": revision, "ended": datetime.now(UTC)}
        self.release = self.release.model_copy(update=changes)
        records.write(self.connection, self.release)

    def carry_out(self, steps: Steps, record: Record, lease: Held, planned: Planned) -> None:
        """Apply it and wait for it; what cannot succeed is put back.

        Raises:
            LeaseLost: another run may be at it: nothing more was touched.
            PlatformOpsError: why it failed, and what became of it.
        """
        try:
            made = self._timed(
                steps, record, "apply", lambda progress: apply(self.connection, planned.wanted, lease.require)
            )
            deployments = [each for (kind, _), each in made.items() if kind == "Deployment"]
            if ("Deployment", self.deployment) not in made:
                deployments.append(self.connection.get(DEPLOYMENTS, self.deployment))
            revision = self.succeed(steps, record, lease, [self.rollout(each) for each in reversed(deployments)])
        except LeaseLost:
            raise
        except Superseded as error:
            self.end("failed", str(error))
            raise
        except PlatformOpsError as error:
            self.evidence = error.evidence if isinstance(error, RolloutFailed) else Evidence()
            self.undo(steps, record, lease, str(error))
            raise type(error)(f"{error} {self.undone}") from None
        self.accept(steps, record, revision)

    def rollout(self, deployment: Object) -> Rollout:
        return Rollout(self.connection, name_of(deployment), template_of(deployment))

    def succeed(self, steps: Steps, record: Record, lease: Held, rollouts: Sequence[Rollout]) -> int:
        """Wait for each, smoke; which revision the first is, the one of the application."""
        revisions = []
        for each in rollouts:
            what = "the rollout" if each.deployment == self.deployment else each.deployment
            revisions.append(self._timed(steps, record, f"wait for {what}", partial(self._wait, each, lease)))
        if self.connection.settings.smoke:
            self._timed(steps, record, "smoke", partial(self._smoke, rollouts[0]))
        lease.require()
        return revisions[0]

    def _wait(self, rollout: Rollout, lease: Held, progress: Progress) -> int:
        return rollout.wait(self.connection.settings.wait_seconds, progress, lease.require).revision

    def accept(self, steps: Steps, record: Record, revision: int) -> None:
        """From here on nothing is taken back: where the record cannot be written, the next run writes it."""
        self._timed(steps, record, "record", lambda progress: self.end("good", revision=revision), retries=2)
        with suppress(PlatformOpsError):
            records.prune(self.connection, self.deployment, self._marks())

    def _marks(self) -> set[str]:
        """Of the configurations that the revisions read that there are to go back to."""
        live = self.connection.get(DEPLOYMENTS, self.deployment)
        sets = own_replica_sets(live, self.connection.list(REPLICA_SETS, selector_of(live)))
        return {(template_of(each)["metadata"].get("annotations") or {}).get(CONFIG, "") for each in sets}

    def _smoke(self, rollout: Rollout, progress: Progress) -> None:
        pods, argv = rollout.pods(), self.connection.settings.smoke
        if not pods:
            raise OperationFailed(f"No pod of the new revision of {self.deployment} is ready: there is none to ask.")
        done = execute(self.connection, name_of(pods[0]), argv)
        self.smoke = f"{' '.join(argv)} in {name_of(pods[0])} ended with {done.exit_code}"
        progress(self.smoke)
        if done.exit_code:
            raise OperationFailed(f"The smoke test failed: {self.smoke}: {done.output.strip()[-300:] or 'no output'}")

    # The way back -----------------------------------------------------------------------------------------------------

    def undo(self, steps: Steps, record: Record, lease: Held, why: str) -> None:
        """Put back what was, and wait for it. What goes wrong here is told beside what went wrong first."""
        try:
            lease.require()
            undo = partial(self._put_back, lease)
            found = self._timed(steps, record, "undo", undo) if self.before else None
            self.undone = self._undone(found)
            self.end("undone" if self.before and not self.lost else "failed", why)
        except PlatformOpsError as error:
            self.undone = f"It could not be undone: {error}"
            if not isinstance(error, LEFT_TO_THE_NEXT):
                with suppress(PlatformOpsError):
                    self.end("failed", why)

    def _undone(self, found: Object | None) -> str:
        sentences = ["What was changed is as it was."] if self.before and found is None else []
        if found is not None:
            sentences.append(f"It was undone: {', '.join(images_of(found).values())} runs again.")
        elif not self.release or not self.release.before_revision:
            sentences.append("There is no earlier revision to go back to: what is new stays.")
        if self.lost:
            sentences.append(f"But {', '.join(self.lost)} may hold what is new: no record has what it held before.")
        if self.before and self.created:
            sentences.append(f"New, and not taken away: {', '.join(self.created)}.")
        return " ".join(sentences)

    def _put_back(self, lease: Held, progress: Progress) -> Object | None:
        made = put_back(self.connection, self.before, self.deployment, lease.require)
        for each in made:
            self.rollout(each).wait(UNDO_SECONDS, progress, lease.require)
        return next((each for each in made if name_of(each) == self.deployment), None)

    def _timed(
        self, steps: Steps, record: Record, title: str, work: Callable[[Progress], _Made], retries: int = 0
    ) -> _Made:
        return self.timings.run(steps, record, Step(title, work, retries, 5))
