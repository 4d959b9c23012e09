"""Wait for one rollout, the one that was started and no other; and collect why it cannot succeed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from engine.errors import NotFound, OperationFailed, PlatformOpsError
from engine.kubernetes.connection import PODS, Connection
from engine.kubernetes.errors import Away
from engine.kubernetes.objects import DEPLOYMENTS, EVENTS, REPLICA_SETS, Object, name_of, owned_by, selector_of
from engine.kubernetes.rollout import RolloutState, Trouble, deadline_exceeded, is_ready, replica_set_for, state_of
from engine.progress import Progress, readable_seconds

_POLL_SECONDS, _AWAY_SECONDS = 0.4, 120.0
_LOG_LINES, _EVENTS = 20, 12


@dataclass(frozen=True)
class Evidence:
    """What is shown of a rollout that failed: containers' states, events, the last lines of one that crashed."""

    states: tuple[tuple[str, str, str], ...] = ()
    events: tuple[tuple[str, str, str], ...] = ()
    lines: tuple[str, ...] = ()


class RolloutFailed(OperationFailed):
    """It cannot succeed, or did not in time."""

    evidence: Evidence = Evidence()


class Superseded(OperationFailed):
    """Somebody else changed the Deployment: the rollout that was waited for is none any more."""


@dataclass
class Rollout:
    """A rollout of a pod template that was applied; `template` is as the server has it."""

    connection: Connection
    deployment: str
    template: Object
    seen: RolloutState | None = None
    _stale: str | None = None

    def wait(self, seconds: float, progress: Progress, still_ours: Callable[[], None]) -> RolloutState:
        """Until all pods are of this template and available. `still_ours` is asked on the way.

        An API server that is away (it restarts, it is updated) is waited for, two minutes at most.

        Raises:
            RolloutFailed: it cannot succeed, or did not within `seconds`.
            Superseded: somebody changed the Deployment meanwhile.
        """
        deadline, answered = time.monotonic() + seconds, time.monotonic()
        while True:
            try:
                still_ours()
                found = self._look()
                answered = time.monotonic()
            except Away:
                if time.monotonic() - answered > _AWAY_SECONDS:
                    raise
                self._report(None, progress)
                time.sleep(_POLL_SECONDS)
                continue
            self._report(found, progress)
            if found.superseded:
                raise Superseded(f"{self.deployment}: {found.superseded}; this rollout is no more waited for.")
            if found.trouble:
                raise self._failed(found.trouble, found)
            if found.done:
                return found
            if time.monotonic() > deadline:
                why = f"it did not end within {readable_seconds(seconds)} ({found})"
                raise self._failed(Trouble(why), found)
            time.sleep(_POLL_SECONDS)

    def _look(self) -> RolloutState:
        connection = self.connection
        deployment = connection.get(DEPLOYMENTS, self.deployment)
        labels = selector_of(deployment)
        sets, pods = connection.list(REPLICA_SETS, labels), connection.list(PODS, labels)
        if self._stale is None:  # of the rollout before this one: no deadline is over at its first sight
            self._stale = deadline_exceeded(deployment)
        patience = connection.settings.unschedulable_seconds
        return state_of(self.template, deployment, sets, pods, patience, connection.now(), self._stale)

    def _report(self, found: RolloutState | None, progress: Progress) -> None:
        if found is None:
            progress("the API server is away: waiting for it")
        elif self.seen is None or str(found) != str(self.seen):
            progress(f"revision {found.revision or '?'}: {found}")
        self.seen = found or self.seen

    def _failed(self, trouble: Trouble, found: RolloutState) -> RolloutFailed:
        where = f"{trouble.pod}{f'/{trouble.container}' if trouble.container else ''}: " if trouble.pod else ""
        error = RolloutFailed(
            f"Revision {found.revision or '?'} of {self.deployment} cannot succeed: {where}{trouble.why}."
        )
        with suppress(PlatformOpsError):  # what is shown beside the reason spoils nothing
            error.evidence = self._evidence(trouble)
        return error

    def _evidence(self, trouble: Trouble) -> Evidence:
        connection = self.connection
        deployment = connection.get(DEPLOYMENTS, self.deployment)
        labels = selector_of(deployment)
        replica_set = replica_set_for(self.template, deployment, connection.list(REPLICA_SETS, labels))
        if replica_set is None:
            return Evidence()
        uid = replica_set["metadata"]["uid"]
        pods = [each for each in connection.list(PODS, labels) if owned_by(each, uid)]
        found = evidence_of_pods(connection, pods, {name_of(replica_set)})
        return replace(found, lines=_last_lines(connection, trouble))

    def pods(self) -> list[Object]:
        """The pods of this template that are ready, by name."""
        deployment = self.connection.get(DEPLOYMENTS, self.deployment)
        labels = selector_of(deployment)
        replica_set = replica_set_for(self.template, deployment, self.connection.list(REPLICA_SETS, labels))
        if replica_set is None:
            return []
        found = [p for p in self.connection.list(PODS, labels) if owned_by(p, replica_set["metadata"]["uid"])]
        return sorted((pod for pod in found if is_ready(pod)), key=name_of)


def evidence_of_pods(connection: Connection, pods: Sequence[Object], owners: set[str]) -> Evidence:
    """The states of their containers, and the events about them and what made them."""
    names = {*owners, *map(name_of, pods)}
    states = tuple(row for pod in pods for row in _states(pod))
    return Evidence(states, _events(connection.list(EVENTS), names))


def _states(pod: Object) -> list[tuple[str, str, str]]:
    rows = []
    for each in (pod.get("status") or {}).get("containerStatuses") or ():
        states: Object = each.get("state") or {}
        kind = next(iter(states), "unknown")
        state: Object = states.get(kind) or {}
        message = " ".join(filter(None, (state.get("reason"), state.get("message"))))
        last: Object = (each.get("lastState") or {}).get("terminated") or {}
        if last:
            message += f"; before: exit code {last.get('exitCode')} ({last.get('reason', '')})"
        restarts = each.get("restartCount", 0)
        rows.append((f"{name_of(pod)}/{each['name']}", kind, f"{message or 'no reason'}; {restarts} restarts"))
    return rows or [(name_of(pod), str((pod.get("status") or {}).get("phase", "")), _unscheduled(pod))]


def _unscheduled(pod: Object) -> str:
    conditions: Sequence[Object] = (pod.get("status") or {}).get("conditions") or ()
    return next((str(each.get("message")) for each in conditions if each.get("message")), "")


def _events(found: Sequence[Object], names: set[str]) -> tuple[tuple[str, str, str], ...]:
    about = [each for each in found if (each.get("involvedObject") or {}).get("name") in names]
    about.sort(key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
    rows = [
        (str(each["involvedObject"]["name"]), str(each.get("reason", "")), str(each.get("message", "")))
        for each in about
    ]
    return tuple(dict.fromkeys(rows))[-_EVENTS:]


def _last_lines(connection: Connection, trouble: Trouble) -> tuple[str, ...]:
    if not trouble.crashed:
        return ()
    for previous in (False, True):  # it may have been started again just now
        with suppress(NotFound, OperationFailed):
            text = connection.log(trouble.pod, trouble.container, lines=_LOG_LINES, previous=previous)
            if text.strip():
                return tuple(text.splitlines())
    return ()
