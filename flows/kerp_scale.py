"""Set how many pods an application has."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.clusters import act, incident
from tasks.naming import run_name
from tasks.notifying import notify_outcome


@flow(
    name="kerp-scale",
    flow_run_name=run_name,
    timeout_seconds=3600,
    on_completion=[notify_outcome],
    on_failure=[notify_outcome],
    on_cancellation=[notify_outcome],
    on_crashed=[notify_outcome],
)
def kerp_scale(cluster: str = "production", replicas: Annotated[int, Field(ge=0, le=1000)] = 10) -> State[Any]:
    """Set how many pods there are and wait until they serve. An autoscaler that would undo it is said.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
        replicas: How many.
    """
    with incident(f"Scale to {replicas}", cluster) as record:
        act(record, lambda one, steps, progress: one.scale(replicas, steps, progress))
    return record.completed()
