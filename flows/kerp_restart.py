"""Start all pods of an application anew."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.clusters import act, incident
from tasks.naming import run_name
from tasks.notifying import notify_outcome


@flow(
    name="kerp-restart",
    flow_run_name=run_name,
    timeout_seconds=3600,
    on_completion=[notify_outcome],
    on_failure=[notify_outcome],
    on_cancellation=[notify_outcome],
    on_crashed=[notify_outcome],
)
def kerp_restart(cluster: str = "production") -> State[Any]:
    """Start all pods anew, one after another, so that none is missing meanwhile; what fails is put back.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
    """
    with incident("Restart", cluster) as record:
        act(record, lambda one, steps, progress: one.restart(steps, progress))
    return record.completed()
