"""A change of an application in a cluster, from its lock to its record: deploy, rollback."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from engine.errors import OperationFailed, PlatformOpsError
from engine.kubernetes import records
from engine.kubernetes.connection import Connection
from engine.kubernetes.lease import Held, LeaseLost, held
from engine.kubernetes.manifests import configs_of
from engine.kubernetes.objects import CONFIG, digest, template_of
from engine.kubernetes.plan import ClusterPlan
from engine.kubernetes.records import Release
from engine.kubernetes.waiting import Evidence
from engine.operations.cluster_change import Change
from engine.operations.cluster_planning import Planned, Planning
from engine.operations.cluster_recovery import recover
from engine.operations.timings import Timings
from engine.operations.verified_backup import back_up_and_verify
from engine.progress import Progress
from engine.repository.repository import Repository
from engine.sources.base import Source
from engine.steps import NO_RECORD, Record, Step, Steps

_Made = TypeVar("_Made")
Approve = Callable[[ClusterPlan], str]
"""Asks people: returns who approved the plan, or raises because it was rejected."""


@dataclass
class ClusterRun:
    """One change. `version` is the image's tag, '' the one that runs; `to_revision` 0 is the one before."""

    connection: Connection
    operation: str
    owner: str
    approve: Approve
    open_repository: Callable[[str], Repository]
    open_source: Callable[[str], Source]
    version: str = ""
    to_revision: int = 0
    plan: ClusterPlan | None = None
    recovered: str = ""
    approved_by: str = ""
    backups: tuple[str, ...] = ()
    timings: Timings = field(default_factory=Timings)
    began: float = field(default_factory=time.monotonic)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    planning: Planning = field(init=False)
    change: Change = field(init=False)

    def __post_init__(self) -> None:
        self.planning = Planning(self.connection, self.operation, self.version, self.to_revision)
        self.change = Change(self.connection, self.timings)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def deployment(self) -> str:
        return self.connection.settings.deployment

    @property
    def release(self) -> Release | None:
        return self.change.release

    @property
    def undone(self) -> str:
        return self.change.undone

    @property
    def smoke(self) -> str:
        return self.change.smoke

    @property
    def evidence(self) -> Evidence:
        return self.change.evidence

    def carry_out(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """All of it. Nothing is touched before the plan stands and is approved.

        Raises:
            LockedByAnother: another run is at this application: who, and since when.
            Forbidden: a right lacks; nothing was touched.
            PlatformOpsError: why it failed; what was begun has been put back.
        """
        self._timed(steps, record, "check the rights", lambda progress: self.planning.check())
        with held(self.connection, self.deployment, self.owner) as lease:
            self.recovered = recover(self.connection, self.timings, lease, steps, record)
            planned = self._look(steps, record, "plan")
            plan = self.plan = planned.plan
            if plan.empty:
                return
            if not self.connection.settings.needs_approval:
                self._change(steps, record, lease, planned)
                return
        # Without the lock: an incident does not wait for whoever approves.
        record.goes_on()
        self.approved_by = self.approve(plan)
        with held(self.connection, self.deployment, self.owner) as lease:
            self._change(steps, record, lease, self._same(steps, record, plan))

    def only_plan(self, steps: Steps) -> None:
        """The plan alone; the server is asked for dry runs, and keeps nothing."""
        self.plan = steps.run(Step("plan", lambda progress: self.planning.look())).plan

    def _look(self, steps: Steps, record: Record, title: str) -> Planned:
        return self._timed(steps, record, title, lambda progress: self.planning.look(), retries=1)

    def _same(self, steps: Steps, record: Record, plan: ClusterPlan) -> Planned:
        """Go on only while the world is the one the plan was made for.

        Raises:
            OperationFailed: it changed.
        """
        planned = self._look(steps, record, "look again")
        if planned.plan.hash != plan.hash:
            raise OperationFailed(
                "The application changed while the plan waited: it is void, and nothing was changed. Plan again."
            )
        return planned

    def _change(self, steps: Steps, record: Record, lease: Held, planned: Planned) -> None:
        release = self._release(planned)
        if planned.plan.migrations:
            planned = self._migrated(steps, record, lease, release.model_copy(update={"migrating": True}), planned)
            release = release.model_copy(update={"backups": self.backups})
        self.change.begin(lease, release, planned)
        self.change.carry_out(steps, record, lease, planned)

    def _release(self, planned: Planned) -> Release:
        plan, template = planned.plan, template_of(planned.deployment.made)
        return Release(
            id=records.new_id(),
            operation=self.operation,
            deployment=self.deployment,
            environment=plan.environment,
            images=plan.images,
            template=digest(template),
            config=(template["metadata"].get("annotations") or {}).get(CONFIG, ""),
            configs=configs_of([each.body for each in planned.wanted], planned.deployment.body),
            plan=plan.hash,
            before_revision=plan.revision,
            by=self.owner,
            approved_by=self.approved_by,
            migrations=tuple(plan.migrations),
            begun=self.started,
        )

    def _migrated(self, steps: Steps, record: Record, lease: Held, release: Release, planned: Planned) -> Planned:
        """Back up and migrate, written down before it begins; then what is to be applied to the world as it is by now.

        Raises:
            OperationFailed: a migration failed, or the application changed meanwhile; nothing was applied.
        """
        plan = planned.plan
        self.change.begin(lease, release, planned)
        try:
            self._migrate(steps, record, lease, plan)
            found = self._look(steps, record, "look again")
            if found.plan.without_migrations.hash != plan.without_migrations.hash:
                raise OperationFailed(
                    "The application changed while its migrations ran: they have run, and nothing else was changed. "
                    "Look at what runs, and deploy again."
                )
        except LeaseLost:
            raise
        except PlatformOpsError as error:
            with suppress(PlatformOpsError):
                self.change.end("failed", str(error))
            raise
        return found

    def _migrate(self, steps: Steps, record: Record, lease: Held, plan: ClusterPlan) -> None:
        if plan.backup:
            source = self.open_source(plan.backup)
            self.backups = back_up_and_verify(source, self.open_repository, self.owner, self.timings, steps, record)
            lease.require()
            self.change.note(backups=self.backups)
        from engine.operations.cluster_migration import MigrationRun

        run = MigrationRun(
            self.connection.name,
            self.connection.settings,
            "up",
            approved=plan.migrations,
            still_ours=lease.require,
            timings=self.timings,
        )
        run.carry_out(steps, record)

    def _timed(
        self, steps: Steps, record: Record, title: str, work: Callable[[Progress], _Made], retries: int = 0
    ) -> _Made:
        return self.timings.run(steps, record, Step(title, work, retries, 5))
