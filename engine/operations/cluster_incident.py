"""What is done in an incident: scale, restart, delete a pod, read logs, look at the load, check the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from engine.errors import ConfigurationError, NotFound, OperationFailed
from engine.kubernetes import records, rights
from engine.kubernetes.connection import PODS, Connection
from engine.kubernetes.errors import Invalid
from engine.kubernetes.executing import execute
from engine.kubernetes.following import followed, with_pod
from engine.kubernetes.lease import Held, held
from engine.kubernetes.load import PodLoad, load_of
from engine.kubernetes.manifests import scaled_by
from engine.kubernetes.objects import (
    AUTOSCALERS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    LEASES,
    POD_METRICS,
    REPLICA_SETS,
    RESTARTED,
    Object,
    name_of,
    owned_by,
    selector_of,
    template_of,
)
from engine.kubernetes.rights import Right
from engine.kubernetes.rollout import is_ready, own_replica_sets
from engine.kubernetes.waiting import Evidence, Rollout, RolloutFailed
from engine.operations.timings import Timings
from engine.progress import Progress
from engine.steps import NO_RECORD, Record, Step, Steps

_LOCK: tuple[Right, ...] = (
    *rights.rights(LEASES, "get", "create", "update"),
    *rights.rights(CONFIG_MAPS, "list"),  # whether a release was cut off
)
_LOOK: tuple[Right, ...] = (
    *rights.rights(DEPLOYMENTS, "get"),
    *rights.rights(REPLICA_SETS, "list"),
    *rights.rights(PODS, "list"),
)


@dataclass
class Incident:
    """One command on an application. `outcome` is what came of it, `remarks` what to know beside it."""

    connection: Connection
    owner: str
    outcome: str = ""
    remarks: list[str] = field(default_factory=list)
    evidence: Evidence = field(default_factory=Evidence)
    timings: Timings = field(default_factory=Timings)

    @property
    def deployment(self) -> str:
        return self.connection.settings.deployment

    def scale(self, replicas: int, steps: Steps, record: Record = NO_RECORD) -> None:
        """Set the replicas and wait for them. An autoscaler that would undo it is said.

        Raises:
            RolloutFailed: pods cannot be made or do not become ready; the number stays set.
        """
        needed = [*rights.rights(DEPLOYMENTS, "patch", below="scale"), *rights.rights(AUTOSCALERS, "list")]
        with self._locked(steps, record, needed) as lease:
            live = self._live()
            before = int(live["spec"]["replicas"])
            self.remarks += [*self._autoscalers(replicas), *filter(None, [self._cut_off()])]
            work = partial(self._scale, replicas, lease)
            self._timed(steps, record, f"scale to {replicas}", work)
            now = int(self._live()["spec"]["replicas"])
            but = "" if now == replicas else f"; {replicas} were asked for, and something else set {now}"
            self.outcome = f"{self.deployment} has {now} pods, {before} before{but}."

    def _scale(self, replicas: int, lease: Held, progress: Progress) -> None:
        self.connection.patch(DEPLOYMENTS, self.deployment, {"spec": {"replicas": replicas}}, "scale")
        self._whole(lease, progress)

    def _cut_off(self) -> str:
        cut = records.begun(self.connection, self.deployment)
        put_right = "is not put right yet: `platformctl k8s deploy` or `rollback` does that first."
        return f"The {cut.operation} of {cut.by} was cut off, and {put_right}" if cut else ""

    def _autoscalers(self, replicas: int) -> list[str]:
        found = [e for e in self.connection.list(AUTOSCALERS) if self.deployment in scaled_by([e])]
        shown = []
        for each in found:
            least, most = int(each["spec"].get("minReplicas", 1)), int(each["spec"]["maxReplicas"])
            if least <= replicas <= most:
                shown.append(
                    f"The autoscaler {name_of(each)} ({least} to {most}) goes on from {replicas}: it may change it within minutes."
                )
            else:
                shown.append(
                    f"The autoscaler {name_of(each)} keeps {least} to {most} pods: it will undo {replicas} within seconds; change its "
                    "limits in the manifests and deploy."
                )
        return shown

    def restart(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """All pods anew, one after another, none missing meanwhile; what fails is put back.

        Raises:
            RolloutFailed: the new ones do not become ready; the old ones serve.
            OperationFailed: a release was cut off and is not put right yet: its pods would be taken for good.
        """
        with self._locked(steps, record, list(rights.rights(DEPLOYMENTS, "patch"))) as lease:
            if shown := self._cut_off():
                raise OperationFailed(f"{shown} Nothing was started anew.")
            before = (template_of(self._live())["metadata"].get("annotations") or {}).get(RESTARTED)
            try:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self._timed(steps, record, "restart", partial(self._marked, now, lease))
            except RolloutFailed as error:
                self.evidence = error.evidence
                lease.require()
                self._timed(steps, record, "undo", partial(self._marked, before, lease))
                raise RolloutFailed(f"{error} It was undone: the old pods serve.") from None
            self.outcome = f"All pods of {self.deployment} were started anew."

    def _marked(self, when: str | None, lease: Held, progress: Progress) -> None:
        """As `kubectl rollout restart` marks them: another mark, other pods; the mark of before, the pods of before."""
        body = {"spec": {"template": {"metadata": {"annotations": {RESTARTED: when}}}}}
        made = self.connection.patch(DEPLOYMENTS, self.deployment, body)
        self._whole(lease, progress, made)

    def delete_pod(self, pod: str, steps: Steps, record: Record = NO_RECORD) -> None:
        """Delete one pod of the application and wait for the one that takes its place.

        Raises:
            ConfigurationError: there is no such pod, or it belongs to something else.
        """
        with self._locked(steps, record, list(rights.rights(PODS, "get", "delete"))) as lease:
            self.remarks += filter(None, [self._cut_off()])
            self._timed(steps, record, f"delete {pod}", partial(self._delete, pod, lease))
            self.outcome = f"{pod} was deleted, and another has taken its place."

    def _delete(self, pod: str, lease: Held, progress: Progress) -> None:
        found = next((each for each in self.pods() if name_of(each) == pod), None)
        if found is None:
            names = ", ".join(map(name_of, self.pods()))
            raise ConfigurationError(f"{self.deployment} has no pod {pod[:80]!r}; it has {names or 'none'}.")
        uid = found["metadata"]["uid"]
        self.connection.delete(PODS, pod, uid=uid)
        while any(each["metadata"]["uid"] == uid and not _ends(each) for each in self.pods()):
            time.sleep(0.2)
        self._whole(lease, progress)

    # Looking ----------------------------------------------------------------------------------------------------------

    def logs(self, lines: int, pod: str = "") -> list[str]:
        """The last lines of each pod, or of one, each line with its pod.

        Raises:
            ConfigurationError: there is no such pod.
        """
        rights.require(self.connection, [*_LOOK, *rights.rights(PODS, "get", below="log")])
        found = self._named(pod)
        many = len(found) > 1
        text = []
        for each in found:
            try:
                shown = self.connection.log(name_of(each), lines=lines)
            except (NotFound, Invalid) as error:  # one that has not begun yet has none
                self.remarks.append(str(error))
            else:
                text += [with_pod(name_of(each), line, many) for line in shown.splitlines()]
        return text

    def follow(self, lines: int, pod: str = "", seconds: float | None = None) -> Iterator[str]:
        """The same and what follows, of all pods as it comes, for so long (None: until the block ends)."""
        rights.require(self.connection, [*_LOOK, *rights.rights(PODS, "get", below="log")])
        yield from followed(self.connection, [name_of(each) for each in self._named(pod)], lines, seconds)

    def top(self) -> list[PodLoad]:
        """What each pod uses now, the heaviest first.

        Raises:
            OperationFailed: the cluster measures nothing.
        """
        rights.require(self.connection, [*_LOOK, *rights.rights(POD_METRICS, "list")])
        pods = self.pods()
        try:
            metrics = self.connection.list(POD_METRICS, selector_of(self._live()))
        except NotFound as error:
            raise OperationFailed(f"{self.connection.name} measures no load: {error}") from None
        return load_of(pods, metrics)

    def check_database(self, steps: Steps, record: Record = NO_RECORD) -> None:
        """Ask the application, inside of one of its pods, whether it reaches its database.

        Raises:
            OperationFailed: it does not, or no pod is ready.
        """
        needed = [*_LOOK, *rights.rights(PODS, "create", below="exec")]
        self._timed(steps, record, "check the rights", lambda progress: rights.require(self.connection, needed))
        self._timed(steps, record, "check the database", lambda progress: self._ask())

    def _ask(self) -> None:
        settings = self.connection.settings
        argv = settings.database_check or settings.smoke
        ready = [each for each in self.pods() if is_ready(each)]
        if not argv:
            raise ConfigurationError(f"Say how in `database_check` of [clusters.{self.connection.name}].")
        if not ready:
            raise OperationFailed(f"No pod of {self.deployment} is ready: there is none to ask.")
        done = execute(self.connection, name_of(ready[0]), argv)
        shown = done.output.strip()[-500:] or "no output"
        if done.exit_code:
            raise OperationFailed(f"{' '.join(argv)} in {name_of(ready[0])} ended with {done.exit_code}: {shown}")
        self.outcome = f"{name_of(ready[0])} reaches its database: {shown}"

    # Common -----------------------------------------------------------------------------------------------------------

    def pods(self) -> list[Object]:
        """All pods of the Deployment, by name."""
        live = self._live()
        labels = selector_of(live)
        uids = [each["metadata"]["uid"] for each in own_replica_sets(live, self.connection.list(REPLICA_SETS, labels))]
        found = [p for p in self.connection.list(PODS, labels) if any(owned_by(p, uid) for uid in uids)]
        return sorted(found, key=name_of)

    def _named(self, pod: str) -> list[Object]:
        found = self.pods()
        chosen = [each for each in found if not pod or name_of(each) == pod]
        if not chosen:
            names = ", ".join(map(name_of, found))
            raise ConfigurationError(f"{self.deployment} has no pod {pod[:80]!r}; it has {names or 'none'}.")
        return chosen

    def _live(self) -> Object:
        try:
            return self.connection.get(DEPLOYMENTS, self.deployment)
        except NotFound:
            where = f"{self.connection.namespace} of {self.connection.name}"
            raise ConfigurationError(f"{self.deployment} runs nowhere in {where} yet; deploy it first.") from None

    def _whole(self, lease: Held, progress: Progress, made: Object | None = None) -> None:
        """Wait until all pods are there, of the template that was made or of the one that is."""
        rollout = Rollout(self.connection, self.deployment, template_of(made or self._live()))
        rollout.wait(self.connection.settings.wait_seconds, progress, lease.require)

    def _locked(self, steps: Steps, record: Record, needed: Sequence[Right]) -> AbstractContextManager[Held]:
        self._timed(
            steps,
            record,
            "check the rights",
            lambda progress: rights.require(self.connection, [*_LOCK, *_LOOK, *needed]),
        )
        return held(self.connection, self.deployment, self.owner)

    def _timed(self, steps: Steps, record: Record, title: str, work: Callable[[Progress], object]) -> None:
        self.timings.run(steps, record, Step(title, work))


def _ends(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))
