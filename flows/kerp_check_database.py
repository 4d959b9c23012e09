"""Ask an application whether it reaches its database."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.clusters import act, incident
from tasks.naming import run_name


@flow(name="kerp-check-database", flow_run_name=run_name, timeout_seconds=600)
def kerp_check_database(cluster: str = "production") -> State[Any]:
    """Ask the application, inside of one of its pods, whether it reaches its database.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
    """
    with incident("Database check", cluster) as record:
        act(record, lambda one, steps, progress: one.check_database(steps, progress))
    return record.completed()
