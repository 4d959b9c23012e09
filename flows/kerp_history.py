"""Show the revisions of an application that there are to go back to."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.clusters import incident, show_history
from tasks.naming import run_name


@flow(name="kerp-history", flow_run_name=run_name, timeout_seconds=600)
def kerp_history(cluster: str = "production") -> State[Any]:
    """Show the revisions with their images, and the releases with who made and approved them.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
    """
    with incident("History", cluster) as record:
        show_history(record)
    return record.completed()
