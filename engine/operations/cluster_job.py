"""Run one of an application's jobs and wait for it: month-end closing, clearing old logs."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field

from engine.errors import ConfigurationError, LockedByAnother, NotFound, OperationFailed, PlatformOpsError
from engine.kubernetes import rights
from engine.kubernetes.connection import PODS, Connection
from engine.kubernetes.errors import Away, Conflict
from engine.kubernetes.jobs import attempts, job_of, state_of
from engine.kubernetes.objects import CRON_JOBS, EVENTS, JOBS, Object, images_of, name_of, owned_by
from engine.kubernetes.rollout import pod_troubles
from engine.kubernetes.waiting import Evidence, evidence_of_pods
from engine.operations.timings import Timings
from engine.progress import Progress, readable_seconds
from engine.steps import NO_RECORD, Record, Step, Steps

_POLL_SECONDS, _AWAY_SECONDS, _LINES = 1.0, 300.0, 200
_PERIOD_VARIABLES = {"month-end-closing": "CLOSING_MONTH"}
"""Where a job reads what it is for."""


@dataclass
class JobRun:
    """`period` is what it is for (2026-11): what has ended well for it is not run again, and what a killed run began is
    waited for. '' is each time a new one."""

    connection: Connection
    cron_job: str
    period: str = ""
    timeout_seconds: float = 4 * 3600
    job: str = ""
    found: str = ""
    lines: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)
    image: str = ""
    timings: Timings = field(default_factory=Timings)
    _stamp: str = field(default_factory=lambda: str(time.time_ns() // 10**9))
    """Of a Job without a period: the same at each try, so that one whose answer was lost is found."""

    def carry_out(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """Make the Job and wait for its end.

        Raises:
            ConfigurationError: there is no such CronJob.
            LockedByAnother: another Job of it runs.
            OperationFailed: it failed, or did not end in time; why, and its last lines are in `evidence`.
        """
        self.timings.run(steps, record, Step("check the rights", lambda progress: self._check()))
        job = self.timings.run(steps, record, Step(f"start {self.cron_job}", self._start, 2, 5))
        self.job = name_of(job)
        record.goes_on()
        self.timings.run(steps, record, Step(f"wait for {self.job}", self._wait))

    def _check(self) -> None:
        needed = [*rights.rights(CRON_JOBS, "get"), *rights.rights(JOBS, "get", "list", "create")]
        needed += [
            *rights.rights(PODS, "list"),
            *rights.rights(PODS, "get", below="log"),
            *rights.rights(EVENTS, "list"),
        ]
        rights.require(self.connection, needed)

    def _start(self, progress: Progress) -> Object:
        try:
            cron_job = self.connection.get(CRON_JOBS, self.cron_job)
        except NotFound:
            raise ConfigurationError(
                f"There is no CronJob {self.cron_job} in {self.connection.namespace}; deploy the manifests first."
            ) from None
        if not cron_job["spec"].get("suspend"):
            progress(f"{self.cron_job} is not suspended: the cluster runs it, too")
        jobs = self.connection.list(JOBS)
        self._require_alone(jobs, cron_job)
        earlier = attempts(jobs, self.cron_job, self.period) if self.period else []
        if earlier and state_of(earlier[-1]).ended != "Failed":
            ended = state_of(earlier[-1]).ended
            self.found = "It had ended well before." if ended else "It was running already: it was waited for."
            progress(f"{name_of(earlier[-1])}: {self.found}")
            return earlier[-1]
        variable = _PERIOD_VARIABLES.get(self.cron_job)
        variables = {variable: self.period} if variable and self.period else {}
        wanted = job_of(cron_job, self._name(len(earlier)), self.period, variables)
        with suppress(Conflict):  # a try whose answer was lost
            return self.connection.create(JOBS, wanted)
        return self.connection.get(JOBS, name_of(wanted))

    def _name(self, earlier: int) -> str:
        return f"{self.cron_job}-{self.period or self._stamp}" + (f"-{earlier + 1}" if earlier else "")

    def _require_alone(self, jobs: list[Object], cron_job: Object) -> None:
        uid = cron_job["metadata"]["uid"]
        mine = {self._name(0)}
        if self.period:
            mine |= {name_of(each) for each in attempts(jobs, self.cron_job, self.period)}
        for each in jobs:
            if owned_by(each, uid) and not state_of(each).ended and name_of(each) not in mine:
                raise LockedByAnother(f"The Job {name_of(each)} of {self.cron_job} runs; wait for it, or delete it.")

    def _wait(self, progress: Progress) -> None:
        deadline, answered = time.monotonic() + self.timeout_seconds, time.monotonic()
        shown = ""
        while True:
            try:
                job = self.connection.get(JOBS, self.job)
                pods = self.connection.list(PODS, labels=f"job-name={self.job}")
                answered = time.monotonic()
            except Away:
                if time.monotonic() - answered > _AWAY_SECONDS:
                    raise
                time.sleep(_POLL_SECONDS)
                continue
            self.image = ", ".join(images_of(job).values())
            if (now := _state_of(job, pods)) != shown:
                progress(shown := now)
            self._look(job, pods)
            if state_of(job).ended == "Complete":
                self.lines = self._log(pods)
                return
            if time.monotonic() > deadline:
                self._fail(pods, f"did not end within {readable_seconds(self.timeout_seconds)}; it goes on")
            time.sleep(_POLL_SECONDS)

    def _look(self, job: Object, pods: list[Object]) -> None:
        ended = state_of(job)
        if ended.ended == "Failed":
            self._fail(pods, f"failed: {ended.why}")
        for pod in pods:
            patience = self.connection.settings.unschedulable_seconds
            for trouble in pod_troubles(pod, patience, self.connection.now()):
                if not trouble.crashed and not ended.ended:  # one that crashes has its backoffLimit
                    self._fail(
                        pods, f"cannot begin: {trouble.why.rstrip('. ')}; it stays, and may begin later: delete it"
                    )

    def _fail(self, pods: list[Object], why: str) -> None:
        with suppress(PlatformOpsError):
            self.evidence = evidence_of_pods(self.connection, pods, {self.job})
            self.lines = self._log(pods)
        raise OperationFailed(f"The Job {self.job} {why}.")

    def _log(self, pods: list[Object]) -> tuple[str, ...]:
        newest = sorted(pods, key=lambda each: str(each["metadata"]["creationTimestamp"]))[-1:]
        with suppress(PlatformOpsError):
            for pod in newest:
                return tuple(self.connection.log(name_of(pod), lines=_LINES).splitlines())
        return ()


def _state_of(job: Object, pods: list[Object]) -> str:
    status = job.get("status") or {}
    counts = [f"{status[key]} {key}" for key in ("active", "succeeded", "failed") if status.get(key)]
    return f"{name_of(job)}: {', '.join(counts) or 'begun'}"
