"""Delete one pod of an application."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.clusters import act, incident
from tasks.naming import run_name
from tasks.notifying import notify_outcome


@flow(
    name="kerp-delete-pod",
    flow_run_name=run_name,
    timeout_seconds=3600,
    on_completion=[notify_outcome],
    on_failure=[notify_outcome],
    on_cancellation=[notify_outcome],
    on_crashed=[notify_outcome],
)
def kerp_delete_pod(cluster: str = "production", pod: str = "") -> State[Any]:
    """Delete one pod of the application, no other, and wait for the one that takes its place.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
        pod: Its whole name.
    """
    with incident(f"Delete {pod}", cluster) as record:
        act(record, lambda one, steps, progress: one.delete_pod(pod, steps, progress))
    return record.completed()
