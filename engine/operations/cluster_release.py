"""A change of an application in a cluster, from its lock to its record: deploy, rollback."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError, TransientFailure
from engine.kubernetes import records, rights
from engine.kubernetes.application import (
    Wanted,
    apply,
    as_applied,
    dry_run,
    left_by_others,
    objects_of_revision,
    placed_objects,
    put_back,
    resources_of,
    wanted_objects,
)
from engine.kubernetes.connection import Connection
from engine.kubernetes.lease import Held, LeaseLost, held
from engine.kubernetes.manifests import configs_of
from engine.kubernetes.objects import CONFIG, DEPLOYMENTS, Object, Resource, digest, images_of, name_of, template_of
from engine.kubernetes.plan import ClusterPlan
from engine.kubernetes.records import Release
from engine.kubernetes.rollout import revision_of
from engine.kubernetes.waiting import Evidence, Rollout, RolloutFailed, Superseded
from engine.operations.timings import Timings
from engine.operations.verified_backup import back_up_and_verify
from engine.progress import Progress
from engine.repository.repository import Repository
from engine.sources.base import Source
from engine.steps import NO_RECORD, Record, Step, Steps

_Made = TypeVar("_Made")
Approve = Callable[[ClusterPlan], str]
"""Asks people: returns who approved the plan, or raises because it was rejected."""
UNDO_SECONDS = 300.0


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
    release: Release | None = None
    recovered: str = ""
    approved_by: str = ""
    backups: tuple[str, ...] = ()
    undone: str = ""
    smoke: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    timings: Timings = field(default_factory=Timings)
    _first: list[Object] = field(default_factory=list)
    """What was rendered to ask for rights: the first plan is made of it."""
    _to: int = 0
    _remark: str = ""
    began: float = field(default_factory=time.monotonic)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def deployment(self) -> str:
        return self.connection.settings.deployment

    def carry_out(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """All of it. Nothing is touched before the plan stands and is approved.

        Raises:
            LockedByAnother: another run is at this application: who, and since when.
            Forbidden: a right lacks; nothing was touched.
            PlatformOpsError: why it failed; what was begun has been put back.
        """
        self._timed(steps, record, "check the rights", self._check)
        with held(self.connection, self.deployment, self.owner) as lease:
            self.recover(lease, steps, record)
            wanted = self._timed(steps, record, "plan", self._want, retries=1)
            plan = self.plan = self._planned(wanted)
            if plan.empty:
                return
            if not self.connection.settings.needs_approval:
                self._change(steps, record, lease, wanted, plan)
                return
        # Without the lock: an incident does not wait for whoever approves.
        record.goes_on()
        self.approved_by = self.approve(plan)
        with held(self.connection, self.deployment, self.owner) as lease:
            self._change(steps, record, lease, self._same(steps, record, plan), plan)

    def _change(self, steps: Steps, record: Record, lease: Held, wanted: Sequence[Wanted], plan: ClusterPlan) -> None:
        self._migrate(steps, record, lease, plan)
        lease.require()
        self._apply(steps, record, lease, wanted, plan)

    def only_plan(self, steps: Steps) -> None:
        """The plan alone; the server is asked for dry runs, and keeps nothing."""
        wanted = steps.run(Step("plan", self._want))
        self.plan = self._planned(wanted)

    # The way there ----------------------------------------------------------------------------------------------------

    def _check(self, progress: Progress) -> None:
        del progress
        kinds: Sequence[Resource] = ()
        if self.operation == "deploy":
            with ThreadPoolExecutor(1) as pool:  # another program renders: the client is loaded meanwhile
                opened = pool.submit(lambda: self.connection.client)
                self._first = placed_objects(self.connection)
                opened.result()
            kinds = resources_of(self.connection, self._first)
        rights.require(self.connection, rights.to_change(kinds, smoke=bool(self.connection.settings.smoke)))

    def _want(self, progress: Progress) -> list[Wanted]:
        del progress
        self._remark, self._to = "", 0
        if self.operation == "rollback":
            objects, self._to, self._remark = objects_of_revision(self.connection, self.to_revision)
            wanted = dry_run(self.connection, objects)
            self._remark = " ".join(filter(None, (self._remark, left_by_others(self._deployment_of(wanted)))))
            return wanted
        placed, self._first = self._first or placed_objects(self.connection), []
        return dry_run(self.connection, wanted_objects(self.connection, placed, self.version))

    def _planned(self, wanted: Sequence[Wanted]) -> ClusterPlan:
        deployment = self._deployment_of(wanted)
        migrations, settings = self._due(), self.connection.settings
        if migrations and not settings.backup and settings.environment == "production":
            raise ConfigurationError(
                f"{', '.join(migrations)} would be run, and nothing is backed up before it: name `backup` in "
                f"[clusters.{self.connection.name}]."
            )
        return ClusterPlan(
            operation=self.operation,
            cluster=self.connection.name,
            namespace=self.connection.namespace,
            environment=settings.environment,
            deployment=self.deployment,
            objects=tuple(each.plan() for each in wanted),
            images=images_of(deployment.made),
            images_before=images_of(deployment.live) if deployment.live else {},
            revision=revision_of(deployment.live) if deployment.live else 0,
            to_revision=self._to,
            migrations=migrations,
            backup=(settings.backup or "") if migrations else "",
            remarks=(self._remark,) if self._remark else (),
        )

    def _deployment_of(self, wanted: Sequence[Wanted]) -> Wanted:
        return next(e for e in wanted if e.resource == DEPLOYMENTS and name_of(e.body) == self.deployment)

    def _due(self) -> dict[str, str]:
        settings = self.connection.settings
        if self.operation != "deploy" or settings.migrations is None:
            return {}
        from engine.operations.cluster_migration import due  # psycopg, which most deploys do without

        return due(settings, settings.migrations)

    def _same(self, steps: Steps, record: Record, plan: ClusterPlan) -> list[Wanted]:
        """Go on only while the world is the one the plan was made for.

        Raises:
            OperationFailed: it changed.
        """
        wanted = self._timed(steps, record, "look again", self._want)
        if self._planned(wanted).hash != plan.hash:
            raise OperationFailed(
                "The application changed while the plan waited: it is void, and nothing was changed. Plan again."
            )
        return wanted

    def _migrate(self, steps: Steps, record: Record, lease: Held, plan: ClusterPlan) -> None:
        if not plan.migrations:
            return
        if plan.backup:
            source = self.open_source(plan.backup)
            self.backups = back_up_and_verify(source, self.open_repository, self.owner, self.timings, steps, record)
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

    # The change -------------------------------------------------------------------------------------------------------

    def _apply(self, steps: Steps, record: Record, lease: Held, wanted: Sequence[Wanted], plan: ClusterPlan) -> None:
        release = self.release = self._begun(wanted, plan)
        before = [as_applied(each.live) for each in wanted if each.live and each.plan().action != "keep"]
        records.write(self.connection, release, [each for each in before if each["kind"] != "Secret"])
        try:
            made = self._timed(steps, record, "apply", lambda progress: apply(self.connection, wanted))
            rollout = self._rollout(made.get(("Deployment", self.deployment)) or self._live())
            revision = self._succeed(steps, record, lease, rollout)
        except LeaseLost:
            raise  # the record stays begun: whoever has the lock puts right what this run began
        except Superseded as error:
            self._end("failed", str(error))
            raise
        except PlatformOpsError as error:
            self.evidence = error.evidence if isinstance(error, RolloutFailed) else Evidence()
            self._undo(steps, record, lease, before, str(error))
            raise type(error)(f"{error} {self.undone}") from None
        self._accept(steps, record, revision)

    def _begun(self, wanted: Sequence[Wanted], plan: ClusterPlan) -> Release:
        template = template_of(self._deployment_of(wanted).made)
        mark = (template["metadata"].get("annotations") or {}).get(CONFIG, "")
        return Release(
            id=records.new_id(),
            operation=self.operation,
            deployment=self.deployment,
            environment=plan.environment,
            images=plan.images,
            template=digest(template),
            config=mark,
            configs=configs_of([each.body for each in wanted]),
            plan=plan.hash,
            before_revision=plan.revision,
            by=self.owner,
            approved_by=self.approved_by,
            backups=self.backups,
            migrations=tuple(plan.migrations),
            begun=self.started,
        )

    def _live(self) -> Object:
        return self.connection.get(DEPLOYMENTS, self.deployment)

    def _rollout(self, deployment: Object) -> Rollout:
        return Rollout(self.connection, self.deployment, template_of(deployment))

    def _succeed(self, steps: Steps, record: Record, lease: Held, rollout: Rollout) -> int:
        """Wait, smoke; which revision it is."""
        seconds = self.connection.settings.wait_seconds
        wait = partial(rollout.wait, seconds, still_ours=lease.require)
        found = self._timed(steps, record, "wait for the rollout", lambda progress: wait(progress=progress))
        if self.connection.settings.smoke:
            self._timed(steps, record, "smoke", partial(self._smoke, rollout))
        return found.revision

    def _accept(self, steps: Steps, record: Record, revision: int) -> None:
        """From here on nothing is taken back: where the record cannot be written, the next run writes it."""
        self._timed(steps, record, "record", lambda progress: self._end("good", revision=revision), retries=2)
        with suppress(PlatformOpsError):
            records.prune(self.connection, self.deployment)

    def _smoke(self, rollout: Rollout, progress: Progress) -> None:
        pods, argv = rollout.pods(), self.connection.settings.smoke
        if not pods:
            raise OperationFailed(f"No pod of the new revision of {self.deployment} is ready: there is none to ask.")
        done = self.connection.execute(name_of(pods[0]), argv)
        self.smoke = f"{' '.join(argv)} in {name_of(pods[0])} ended with {done.exit_code}"
        progress(self.smoke)
        if done.exit_code:
            raise OperationFailed(f"The smoke test failed: {self.smoke}: {done.output.strip()[-300:] or 'no output'}")

    def _end(self, state: str, why: str = "", revision: int = 0) -> None:
        assert self.release is not None  # noqa: S101 - it has begun
        told = {"state": state, "why": why, "revision": revision, "ended": datetime.now(UTC)}
        self.release = self.release.model_copy(update=told)
        records.write(self.connection, self.release)

    # The way back -----------------------------------------------------------------------------------------------------

    def _undo(self, steps: Steps, record: Record, lease: Held, before: Sequence[Object], why: str) -> None:
        """Put back what was, and wait for it. What goes wrong here is told beside what went wrong first."""
        try:
            lease.require()
            undo = partial(self._put_back, lease, before)
            found = self._timed(steps, record, "undo", undo) if before else None
            self.undone = self._undone(before, found)
            self._end("undone" if before else "failed", why)
        except PlatformOpsError as error:
            self.undone = f"It could not be undone: {error}"
            if not isinstance(error, LeaseLost | TransientFailure):  # then the next run tries it again
                with suppress(PlatformOpsError):
                    self._end("failed", why)

    def _undone(self, before: Sequence[Object], found: Object | None) -> str:
        said = ["What was changed is as it was."] if before and found is None else []
        if found is not None:
            said.append(f"It was undone: {', '.join(images_of(found).values())} runs again.")
        elif not self.release or not self.release.before_revision:
            said.append("There is no earlier revision to go back to: what is new stays.")
        new = [f"{each.kind} {each.name}" for each in self.plan.objects if each.action == "create"] if self.plan else []
        if before and new:
            said.append(f"New, and not taken away: {', '.join(new)}.")
        return " ".join(said)

    def _put_back(self, lease: Held, before: Sequence[Object], progress: Progress) -> Object | None:
        made = put_back(self.connection, before, self.deployment)
        if made is not None:
            self._rollout(made).wait(UNDO_SECONDS, progress, lease.require)
        return made

    def recover(self, lease: Held, steps: Steps, record: Record) -> None:
        """What a killed run began: finished where its rollout succeeds, else put back."""
        cut = next(
            (e for e in reversed(records.releases(self.connection, self.deployment)) if e.state == "begun"), None
        )
        if cut is None:
            return
        self.release, before = cut, records.read_before(self.connection, cut)
        who = f"The {cut.operation} of {cut.by} was cut off"
        live = self.connection.find(DEPLOYMENTS, self.deployment)
        if records.is_before_its_rollout(cut, before, live):
            self._undo(steps, record, lease, before, "it was cut off before its rollout")
            self.recovered = f"{who} before its rollout began. {self.undone}"
        elif live is not None and digest(template_of(live)) == cut.template:
            self.recovered = f"{who}. {self._finished(steps, record, lease, live, before)}"
        else:
            self._end("failed", "it was cut off, and the Deployment is another since")
            self.recovered = f"{who}, and the Deployment is another since: it was left as it is."
        self.release, self.undone = None, ""

    def _finished(self, steps: Steps, record: Record, lease: Held, live: Object, before: Sequence[Object]) -> str:
        """What became of a rollout that nobody waited for any more."""
        try:
            self._accept(steps, record, self._succeed(steps, record, lease, self._rollout(live)))
            return "Its rollout ended well: it was finished."
        except Superseded as error:
            self._end("failed", str(error))
            return f"{error} It was left as it is."
        except (LeaseLost, TransientFailure):
            raise
        except PlatformOpsError as error:
            self._undo(steps, record, lease, before, str(error))
            return f"{error} {self.undone}"

    def _timed(
        self, steps: Steps, record: Record, title: str, work: Callable[[Progress], _Made], retries: int = 0
    ) -> _Made:
        return self.timings.run(steps, record, Step(title, work, retries, 5))
