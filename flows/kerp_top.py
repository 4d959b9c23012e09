"""Show what the pods of an application use."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.clusters import incident, top
from tasks.naming import run_name


@flow(name="kerp-top", flow_run_name=run_name, timeout_seconds=600)
def kerp_top(cluster: str = "production") -> State[Any]:
    """Show what each pod uses of CPU and memory, and of its limits.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
    """
    with incident("Load", cluster) as record:
        top(record)
    return record.completed()
