"""A change of a platform, from its lock to its record: deploy, update of one service, rollback."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from engine.errors import OperationFailed, PartialSuccess, PlatformOpsError
from engine.hosts.ending import children_spared
from engine.operations.planning import Planning
from engine.operations.timings import Timings
from engine.operations.verified_backup import back_up_and_verify
from engine.progress import Progress
from engine.releases import images, records
from engine.releases.carrying import carry_out, take_back
from engine.releases.environment import secrets_of
from engine.releases.journal import Journal, new_journal, read_journal
from engine.releases.lock import Held, held
from engine.releases.plan import OF_EARLIER, Action, Plan, World
from engine.releases.platform import Platform
from engine.releases.release import Release
from engine.releases.rollout.context import Context
from engine.releases.rollout.part import Part
from engine.releases.rollout.rollout import Rollout
from engine.releases.staging import Staged, restage
from engine.repository.repository import Repository
from engine.sources.base import Source
from engine.steps import NO_RECORD, Record, Step, Steps

_Made = TypeVar("_Made")
KEEP = "keep the record in the store"
Approve = Callable[[Plan], str]
"""Asks people: returns who approved the plan, or raises because it was rejected."""


@dataclass
class ReleaseRun:
    """One change of a platform. `versions` are by service; `only` is the service of an update.

    `plan`, `steps` and the rest are what it has come to.
    """

    platform: Platform
    operation: str
    owner: str
    approve: Approve
    open_repository: Callable[[str], Repository]
    open_source: Callable[[str], Source]
    versions: Mapping[str, str] = field(default_factory=dict)
    plan: Plan | None = None
    release: Release | None = None
    recovered: str = ""
    approved_by: str = ""
    backups: tuple[str, ...] = ()
    timings: Timings = field(default_factory=Timings)
    smoke: list[tuple[str, int, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    pruned: tuple[str, ...] = ()
    lost: int | None = None
    with_databases: bool = False
    unkept: PlatformOpsError | None = None
    began: float = field(default_factory=time.monotonic)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def accepted(self) -> bool:
        """Whether another release runs now than before."""
        return any(title == KEEP and how == "done" for title, _, how in self.timings)

    def carry_out(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """All of it. Nothing of what runs is touched before the plan stands and is approved.

        Raises:
            LockedByAnother: another run is at this platform: who, and since when.
            PlatformOpsError: why it failed; what was begun has been taken back.
        """
        with children_spared(), held(self.platform.site, self.owner) as lease:
            self.recover(lease, steps, record)
            records.require_databases_whole(self.platform.site)
            self._under(lease, steps, record)

    def go_back(self, lease: Held, steps: Steps, record: Record = NO_RECORD) -> None:
        """A rollback under a lock that is held already, whatever was migrated: the databases have gone back too.

        Raises:
            PlatformOpsError: as `carry_out`.
        """
        self.with_databases = True
        self._under(lease, steps, record)

    def _under(self, lease: Held, steps: Steps, record: Record) -> None:
        staged = self._timed(steps, record, "fetch and pin the images", self.planning.stage, retries=1)
        try:
            plan = self.plan = self._timed(steps, record, "plan", partial(self._plan, staged))
            self.release = staged.release
            if plan.empty:
                self.planning.forget(staged)
                return
            self._agree(steps, record, staged, plan)
        except BaseException:
            self.planning.forget(staged)
            raise
        self._apply(steps, record, lease, staged, plan)

    def only_plan(self, steps: Steps) -> None:
        """The plan alone: nothing is kept of it."""
        with held(self.platform.site, self.owner):
            if read_journal(self.platform.site):
                raise OperationFailed(
                    "A change of this platform was cut off; `platformctl resume` finishes or reverts it."
                )
            staged = steps.run(Step("fetch and pin the images", self.planning.stage))
            try:
                self.plan = steps.run(Step("plan", partial(self._plan, staged)))
                self.release = staged.release
            finally:
                self.planning.forget(staged)

    def resume(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """Finish or revert what a killed run left, and nothing else."""
        with children_spared(), held(self.platform.site, self.owner) as lease:
            self.recover(lease, steps, record)
            records.require_databases_whole(self.platform.site)
            self._require_kept()

    def recover(self, lease: Held, steps: Steps, record: Record) -> None:
        """What a killed run began: finished from the step on in which the release is recorded, else reverted."""
        journal = read_journal(self.platform.site)
        if journal is None:
            return
        rollout = self._rollout_of(journal)
        run = partial(self._run_part, steps, record)
        if journal.accepted:
            carry_out(rollout, run, lease.require)
            self.recovered = (
                f"The {journal.plan.operation} of {journal.owner} was cut off after it was accepted: it was finished."
            )
        else:
            take_back(rollout, run, lease.require)
            self.recovered = f"The {journal.plan.operation} of {journal.owner} was cut off: it was reverted."

    # The way there ------------------------------------------------------------------------------------------------

    @property
    def planning(self) -> Planning:
        return Planning(self.platform, self.operation, self.versions, self.with_databases)

    def _plan(self, staged: Staged, progress: Progress) -> Plan:
        del progress
        return self.planning.plan(staged)

    def _agree(self, steps: Steps, record: Record, staged: Staged, plan: Plan) -> None:
        record.goes_on()
        self.approved_by = self.approve(plan)
        self._require_same(steps, record, staged, plan)
        if plan.backup:
            self.backups = self._back_up(steps, record, plan.backup)
            self._require_same(steps, record, staged, plan)

    def _require_same(self, steps: Steps, record: Record, staged: Staged, plan: Plan) -> None:
        """Go on only while the world is the one the plan was made for.

        Raises:
            OperationFailed: it changed.
        """
        now = self._timed(steps, record, "look again", partial(self._plan, staged))
        if now.hash != plan.hash:
            raise OperationFailed(
                "The platform changed while the plan waited: it is void, and nothing was changed. Plan again."
            )

    def _back_up(self, steps: Steps, record: Record, source: str) -> tuple[str, ...]:
        """The sets that a rollback of the databases goes back to, each read again."""
        found = self.open_source(source)
        return back_up_and_verify(found, self.open_repository, self.owner, self.timings, steps, record)

    def _apply(self, steps: Steps, record: Record, lease: Held, staged: Staged, plan: Plan) -> None:
        world = self.platform.look()
        old = _serving(world, plan)
        before = self.platform.running()
        staged = self._with_history(staged, plan)
        self.release = staged.release
        site, docker = self.platform.site, self.platform.docker
        docker.hidden |= secrets_of(staged.values)
        journal = new_journal(plan, self.owner, old, world.nginx_folder)
        context = Context(site, docker, staged, before, journal)
        since = docker.now()
        try:
            carry_out(Rollout(context, self._afterwards()), partial(self._run_part, steps, record), lease.require)
        finally:
            self.smoke, self.remarks = context.smoke, context.notes
            with suppress(PlatformOpsError):
                self.lost = context.gateway.lost_since(since)
        self._require_kept()

    def _require_kept(self) -> None:
        if self.unkept is not None:
            raise PartialSuccess(
                f"The release runs; only its record could not be kept in the store (the next change keeps it): {self.unkept}"
            )

    def _afterwards(self) -> tuple[Part, ...]:
        """What follows when a release has been accepted."""
        return (Part("keep", KEEP, self._keep), Part("prune", "prune images", self._prune))

    def _prune(self, progress: Progress) -> None:
        self.pruned = images.prune(self.platform.site, self.platform.docker)
        for each in self.pruned:
            progress(f"{each} goes")

    def _with_history(self, staged: Staged, plan: Plan) -> Staged:
        if self.operation in OF_EARLIER:
            return staged
        before = records.read_migrated(self.platform.site)  # by a try that did not come to be
        notes = {
            "by": self.owner,
            "approved_by": self.approved_by,
            "backups": (before.backups if before and before.breaking else ()) or self.backups,
            "migrated": tuple(dict.fromkeys((*(before.services if before else ()), *plan.migrations))),
            "breaking": tuple(dict.fromkeys((*(before.breaking if before else ()), *plan.breaking))),
        }
        release = staged.release.model_copy(update=notes)
        records.write(self.platform.site, release)
        return Staged(release, staged.model, staged.values)

    def _rollout_of(self, journal: Journal) -> Rollout:
        site, docker = self.platform.site, self.platform.docker
        staged = restage(site, docker, records.record(site, journal.plan.release))
        before = None
        if journal.plan.before:
            before = restage(site, docker, records.record(site, journal.plan.before))
        docker.hidden |= secrets_of(staged.values)
        return Rollout(Context(site, docker, staged, before, journal), self._afterwards())

    def _keep(self, progress: Progress) -> None:
        """The records of all releases that the store lacks: on another host they say what ran here.

        A store that is away spoils no release: the next change catches up.
        """
        del progress
        try:
            store = self.open_repository(self.platform.settings.store).store
            for each in records.releases(self.platform.site):
                store.create(f"_releases/{self.platform.name}/{each.id}-{each.state}.json", each.as_json())
        except PlatformOpsError as error:
            self.unkept = error
        else:
            self.unkept = None

    def _run_part(self, steps: Steps, record: Record, title: str, work: Callable[[Progress], None]) -> None:
        self._timed(steps, record, title, work)

    def _timed(
        self, steps: Steps, record: Record, title: str, work: Callable[[Progress], _Made], retries: int = 0
    ) -> _Made:
        return self.timings.run(steps, record, Step(title, work, retries, 5))


def _serving(world: World, plan: Plan) -> dict[str, str]:
    """The containers of rolling services that serve, by id."""
    found = {name: container.id for name in plan.of(Action.ROLL) if (container := world.running(name))}
    if gone := sorted(set(plan.of(Action.ROLL)) - found.keys()):
        raise OperationFailed(f"{gone[0]} stopped since the plan was made; nothing was changed. Plan again.")
    return found
