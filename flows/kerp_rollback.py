"""Go back to an earlier revision of an application."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.clusters import ClusterRecord, release
from tasks.naming import run_name
from tasks.notifying import notify_outcome


@flow(
    name="kerp-rollback",
    flow_run_name=run_name,
    timeout_seconds=4 * 3600,
    on_completion=[notify_outcome],
    on_failure=[notify_outcome],
    on_cancellation=[notify_outcome],
    on_crashed=[notify_outcome],
)
def kerp_rollback(cluster: str = "production", to_revision: Annotated[int, Field(ge=0)] = 0) -> State[Any]:
    """Go back to the revision before, or to one of kerp-history: its image, and the ConfigMaps as its pods read them.

    The database stays as it is.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
        to_revision: Which revision; 0 is the one before the one that runs.
    """
    with ClusterRecord("rollback", cluster) as record:
        release(record, to_revision=to_revision)
    return record.completed()
