"""Show what the pods of an application wrote."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.clusters import incident, logs
from tasks.naming import run_name


@flow(name="kerp-logs", flow_run_name=run_name, timeout_seconds=2 * 3600)
def kerp_logs(
    cluster: str = "production",
    lines: Annotated[int, Field(ge=1, le=1000)] = 100,
    pod: str = "",
    follow_seconds: Annotated[int, Field(ge=0, le=3600)] = 0,
) -> State[Any]:
    """Show the last lines of the pods, and with seconds to follow what they write meanwhile.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
        lines: How many of each pod.
        pod: Only this one.
        follow_seconds: How long to follow; 0: not at all.
    """
    with incident("Log", cluster) as record:
        logs(record, lines, pod, follow_seconds)
    return record.completed()
