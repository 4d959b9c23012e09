"""How a rollout stands, judged from objects as the API shows them."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.kubernetes.rollout import RolloutState, deadline_exceeded, probe_seconds, state_of

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {
        "containers": [{"name": "a", "image": "a:2", "readinessProbe": {"periodSeconds": 1, "failureThreshold": 2}}]
    },
}
OLDER: dict[str, Any] = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {"containers": [{"name": "a", "image": "a:1"}]},
}


def deployment(template: dict[str, Any] = TEMPLATE, generation: int = 2, **status: Any) -> dict[str, Any]:
    given = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2} | status
    return {
        "metadata": {
            "uid": "d",
            "name": "a",
            "generation": generation,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"replicas": 2, "template": deepcopy(template)},
        "status": given,
    }


def replica_set(template: dict[str, Any], revision: int, *conditions: dict[str, Any]) -> dict[str, Any]:
    labelled = deepcopy(template)
    labelled["metadata"]["labels"]["pod-template-hash"] = str(revision)
    return {
        "metadata": {
            "uid": f"r{revision}",
            "name": f"a-{revision}",
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [{"uid": "d"}],
        },
        "spec": {"template": labelled},
        "status": {"conditions": list(conditions)},
    }


def pod(status: dict[str, Any], owner: str = "r2", created: str = "2026-11-30T11:59:50Z") -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "ownerReferences": [{"uid": owner}], "creationTimestamp": created},
        "spec": TEMPLATE["spec"],
        "status": status,
    }


def waiting(reason: str, message: str = "", restarts: int = 0) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "a", "image": "a:2", "state": state, "restartCount": restarts}]}


READY: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "True"}]}


def judged(*pods: dict[str, Any], **status: Any) -> RolloutState:
    pods = pods or (pod(READY), pod(READY))
    sets = [replica_set(OLDER, 1), replica_set(TEMPLATE, 2)]
    return state_of(TEMPLATE, deployment(**status), sets, pods, 60, NOW)


def test_done_is_when_all_pods_are_of_this_revision_and_available() -> None:
    found = judged()
    assert (found.done, found.revision) == (True, 2)
    assert str(found) == "2 of 2 pods updated, 2 available"
    assert not judged(availableReplicas=1).done
    assert not judged(updatedReplicas=1).done
    assert str(judged(replicas=3)) == "2 of 2 pods updated, 2 available, 1 of before"
    assert not judged(replicas=3).done
    assert not judged(observedGeneration=1).done, "what the controller has not seen yet says nothing"


def test_a_pod_that_was_deleted_just_now_is_not_available_any_more() -> None:
    """The Deployment's own status says so only when its controller has looked."""
    ending = pod(READY)
    ending["metadata"]["deletionTimestamp"] = "2026-11-30T12:00:00Z"
    assert not judged(pod(READY), ending).done
    assert judged(pod(READY), ending, pod(READY)).done


def test_a_deadline_that_was_exceeded_before_this_rollout_is_no_trouble_of_it() -> None:
    exceeded = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "lastUpdateTime": "2026-11-30T11:59:00Z"}
    assert judged(conditions=[exceeded]).trouble is not None
    found, sets = deployment(conditions=[exceeded]), [replica_set(TEMPLATE, 2)]
    assert state_of(TEMPLATE, found, sets, (), 60, NOW, deadline_exceeded(found)).trouble is None
    assert state_of(TEMPLATE, found, sets, (), 60, NOW, "2026-11-30T11:58:00Z").trouble is not None


def test_a_number_that_was_changed_meanwhile_is_waited_for_and_a_template_is_not() -> None:
    assert judged(observedGeneration=3, generation=3).superseded == ""
    other = state_of(TEMPLATE, deployment(OLDER), [replica_set(TEMPLATE, 2)], (), 60, NOW)
    assert "somebody changed the Deployment meanwhile (revision 2, image a:1)" in other.superseded


@pytest.mark.parametrize(
    ("status", "output"),
    [
        (waiting("ErrImagePull", "a:2: not found"), "cannot be pulled: a:2: not found"),
        (waiting("ImagePullBackOff", "Back-off: unauthorized"), "cannot be pulled"),
        (waiting("ErrImagePull", "dial tcp: i/o timeout"), ""),
        (waiting("InvalidImageName"), "the name of its image is wrong"),
        (waiting("CreateContainerConfigError", 'secret "s" not found'), "that it reads is not there"),
        (waiting("ContainerCreating"), ""),
        (waiting("CrashLoopBackOff", restarts=1), "it crashes again and again, 1 restart"),
        (waiting("CrashLoopBackOff", restarts=0), ""),
        (waiting("ContainerCreating", restarts=2), "it crashes again and again, 2 restarts"),
        ({"phase": "Failed", "reason": "Evicted"}, "it failed: Evicted"),
    ],
)
def test_what_can_never_succeed_is_told_from_what_may(status: dict[str, Any], output: str) -> None:
    trouble = judged(pod(status)).trouble
    assert (trouble.why if trouble else "").find(output) >= 0 and bool(trouble) == bool(output)


def test_a_registry_that_does_not_answer_is_given_a_minute() -> None:
    status = waiting("ImagePullBackOff", "dial tcp: i/o timeout")
    trouble = judged(pod(status, created="2026-11-30T11:58:50Z")).trouble
    assert trouble is not None and "cannot be pulled" in trouble.why


@pytest.mark.parametrize(("since", "bad"), [("2026-11-30T11:59:30Z", False), ("2026-11-30T11:58:30Z", True)])
def test_no_node_is_waited_for_as_long_as_the_settings_say(since: str, bad: bool) -> None:
    condition = {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes", "lastTransitionTime": since}
    assert bool(judged(pod({"conditions": [condition]})).trouble) is bad


@pytest.mark.parametrize(("since", "bad"), [("2026-11-30T11:59:30Z", False), ("2026-11-30T11:59:20Z", True)])
def test_a_probe_that_never_passes_has_three_times_what_it_allows(since: str, bad: bool) -> None:
    assert probe_seconds(TEMPLATE["spec"]["containers"][0]) == 36
    running = [{"name": "a", "state": {"running": {"startedAt": since}}, "ready": False, "restartCount": 0}]
    assert bool(judged(pod({"containerStatuses": running})).trouble) is bad


def test_a_container_that_crashed_long_ago_or_was_ready_until_now_is_no_trouble() -> None:
    """Of a scale or an undo, whose pods may be weeks old."""
    running = {
        "name": "a",
        "ready": True,
        "restartCount": 5,
        "state": {"running": {"startedAt": "2026-11-01T00:00:00Z"}},
    }
    assert judged(pod({"containerStatuses": [running]})).trouble is None
    just_now = running | {"state": {"running": {"startedAt": "2026-11-30T11:59:40Z"}}}
    assert judged(pod({"containerStatuses": [just_now]})).trouble is not None
    unready = running | {"ready": False}
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-30T11:59:50Z"}
    assert judged(pod({"containerStatuses": [unready], "conditions": [condition]})).trouble is None


def test_pods_of_before_and_those_that_end_are_no_trouble_of_this_rollout() -> None:
    ill = waiting("InvalidImageName")
    assert judged(pod(ill, owner="r1")).trouble is None
    ending = pod(ill)
    ending["metadata"]["deletionTimestamp"] = "2026-11-30T12:00:00Z"
    assert judged(ending).trouble is None


@pytest.mark.parametrize(("since", "bad"), [("2026-11-30T11:59:55Z", False), ("2026-11-30T11:59:45Z", True)])
def test_pods_that_cannot_be_made(since: str, bad: bool) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota", "lastTransitionTime": since}
    sets = [replica_set(TEMPLATE, 2, failure)]
    assert bool(state_of(TEMPLATE, deployment(), sets, (), 60, NOW).trouble) is bad
