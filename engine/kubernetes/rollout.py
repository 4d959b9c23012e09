"""How a rollout stands, judged from what the API shows: under way, done, or never to succeed, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.kubernetes.objects import REVISION, Object, name_of, owned_by, template_of
from engine.progress import counted

_AT_ONCE = {
    "InvalidImageName": "the name of its image is wrong",
    "ErrImageNeverPull": "its image is not on the node, and may not be pulled",
    "CreateContainerConfigError": "a ConfigMap, Secret or key that it reads is not there",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be started",
}
_PULL = ("ErrImagePull", "ImagePullBackOff")
_NOT_THERE = ("not found", "manifest unknown", "does not exist", "denied", "unauthorized", "no such host", "invalid")
_PULL_SECONDS, _QUOTA_SECONDS, _SETTLED_SECONDS, _PROBE_PERIODS = 60.0, 10.0, 60.0, 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why it cannot succeed. `pod` and `container` are '' where it is about none."""

    why: str
    pod: str = ""
    container: str = ""
    crashed: bool = False


@dataclass(frozen=True, slots=True)
class RolloutState:
    """How far it is. `superseded`: somebody changed the Deployment since."""

    wanted: int
    updated: int
    available: int
    old: int
    revision: int
    superseded: str = ""
    trouble: Trouble | None = None

    @property
    def done(self) -> bool:
        return self.revision > 0 and self.updated >= self.wanted and self.old == 0 and self.available >= self.wanted

    def __str__(self) -> str:
        what = f"{self.updated} of {self.wanted} pods updated, {self.available} available"
        return f"{what}, {self.old} of before" if self.old > 0 else what


def revision_of(found: Object) -> int:
    return int((found["metadata"].get("annotations") or {}).get(REVISION, 0))


def own_replica_sets(deployment: Object, replica_sets: Sequence[Object]) -> list[Object]:
    """Those of the Deployment, oldest revision first."""
    own = [each for each in replica_sets if owned_by(each, deployment["metadata"]["uid"])]
    return sorted(own, key=revision_of)


def replica_set_for(template: Object, deployment: Object, replica_sets: Sequence[Object]) -> Object | None:
    """The ReplicaSet of the Deployment that has this pod template."""
    own = own_replica_sets(deployment, replica_sets)
    return next((each for each in reversed(own) if template_of(each) == template), None)


def state_of(
    template: Object,
    deployment: Object,
    replica_sets: Sequence[Object],
    pods: Sequence[Object],
    unschedulable_seconds: float,
    now: datetime,
    stale: str = "",
) -> RolloutState:
    """How the rollout of this pod template stands, by the cluster's own clock.

    `stale` is when a deadline was exceeded before this rollout began: the controller leaves that standing until there
    is progress.
    """
    status, wanted = deployment.get("status") or {}, int(deployment["spec"].get("replicas", 1))
    observed = int(status.get("observedGeneration", 0)) >= deployment["metadata"]["generation"]
    replica_set = replica_set_for(template, deployment, replica_sets) if observed else None
    superseded = ""
    if template_of(deployment) != template:
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        superseded = f"somebody changed the Deployment meanwhile (revision {revision_of(deployment)}, image {image})"
    if replica_set is None:
        return RolloutState(wanted, 0, 0, int(status.get("replicas", 0)), 0, superseded)
    mine = [each for each in pods if owned_by(each, replica_set["metadata"]["uid"])]
    trouble = next(_troubles(deployment, replica_set, mine, unschedulable_seconds, now, stale), None)
    updated = int(status.get("updatedReplicas", 0))
    return RolloutState(
        wanted,
        updated,
        # A pod that was deleted just now is still counted in the Deployment's status.
        min(int(status.get("availableReplicas", 0)), sum(map(is_ready, mine))),
        max(0, int(status.get("replicas", 0)) - updated),
        revision_of(replica_set),
        superseded,
        trouble,
    )


def _troubles(
    deployment: Object,
    replica_set: Object,
    pods: Sequence[Object],
    unschedulable_seconds: float,
    now: datetime,
    stale: str,
) -> Iterator[Trouble]:
    failure = _condition(replica_set, "ReplicaFailure")
    if failure.get("status") == "True" and _seconds(failure.get("lastTransitionTime"), now) >= _QUOTA_SECONDS:
        yield Trouble(f"its pods cannot be made: {failure.get('message', '')}")
    for pod in pods:
        if not pod["metadata"].get("deletionTimestamp"):
            yield from pod_troubles(pod, unschedulable_seconds, now)
    exceeded = deadline_exceeded(deployment)
    if exceeded and exceeded != stale:
        message = _condition(deployment, "Progressing").get("message", "")
        yield Trouble(f"no progress within its progressDeadlineSeconds: {message}")


def deadline_exceeded(deployment: Object) -> str:
    """When the controller found no progress within the Deployment's progressDeadlineSeconds; '' when it did not."""
    progressing = _condition(deployment, "Progressing")
    exceeded = progressing.get("reason") == "ProgressDeadlineExceeded"
    return str(progressing.get("lastUpdateTime") or "once") if exceeded else ""


def is_ready(pod: Object) -> bool:
    return _condition(pod, "Ready").get("status") == "True" and not pod["metadata"].get("deletionTimestamp")


def pod_troubles(pod: Object, unschedulable_seconds: float, now: datetime) -> Iterator[Trouble]:
    """Why a pod will never do its work, as far as it shows."""
    name, status = name_of(pod), pod.get("status") or {}
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        waited = _seconds(scheduled.get("lastTransitionTime"), now)
        if waited >= unschedulable_seconds:
            yield Trouble(f"no node takes it: {scheduled.get('message', '')}", name)
    if status.get("phase") == "Failed":
        text = " ".join(filter(None, (status.get("reason"), status.get("message"))))
        yield Trouble(f"it failed: {text or 'its container ended with an error'}", name, crashed=True)
    specs = {each["name"]: each for kind in ("initContainers", "containers") for each in pod["spec"].get(kind) or ()}
    for kind in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(kind) or ():
            found = _container_trouble(each, specs.get(each["name"], {}), pod, now)
            if found is not None:
                yield Trouble(found[0], name, each["name"], crashed=found[1])


def _container_trouble(status: Object, spec: Object, pod: Object, now: datetime) -> tuple[str, bool] | None:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), str(waiting.get("message", ""))
    if reason in _AT_ONCE:
        return f"{_AT_ONCE[reason]}: {message}", False
    if reason in _PULL and (
        _certain(message) or _seconds(pod["metadata"].get("creationTimestamp"), now) > _PULL_SECONDS
    ):
        return f"its image {status.get('image', '')} cannot be pulled: {message}", False
    restarts = int(status.get("restartCount", 0))
    running = (status.get("state") or {}).get("running") or {}
    runs = _seconds(running.get("startedAt"), now)
    if (restarts >= 2 and runs < _SETTLED_SECONDS) or (restarts >= 1 and reason == "CrashLoopBackOff"):
        return f"it crashes again and again{_exit(status)}, {counted(restarts, 'restart')}", True
    if running and not status.get("ready"):
        # One that was ready and is not now has its time again.
        waited = min(runs, _seconds(_condition(pod, "Ready").get("lastTransitionTime", running["startedAt"]), now))
        if waited > (allowed := probe_seconds(spec)):
            return f"its readiness probe does not pass for {waited:.0f} s ({allowed:.0f} s were allowed)", True
    return None


def _certain(message: str) -> bool:
    return any(word in message.lower() for word in _NOT_THERE)


def _exit(status: Object) -> str:
    for state in ("state", "lastState"):
        ended = (status.get(state) or {}).get("terminated")
        if ended:
            return f" (exit code {ended.get('exitCode')}, {ended.get('reason', '')})"
    return ""


def probe_seconds(container: Mapping[str, Any]) -> float:
    """How long a container may run without being ready: its start-up probe's time, then three times what makes its
    readiness probe fail."""
    total = 30.0
    for name, times in (("startupProbe", 1), ("readinessProbe", _PROBE_PERIODS)):
        probe = container.get(name)
        if probe:
            period, failures = probe.get("periodSeconds", 10), probe.get("failureThreshold", 3)
            total += probe.get("initialDelaySeconds", 0) + times * period * failures
    return float(total)


def _condition(found: Object, kind: str) -> Mapping[str, Any]:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})


def _seconds(since: object, now: datetime) -> float:
    if not isinstance(since, str):
        return 0.0
    return (now - datetime.fromisoformat(since)).total_seconds()
