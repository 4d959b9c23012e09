"""Run the SQL migrations of an application's database."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.clusters import MigrationRecord, migrate
from tasks.naming import run_name
from tasks.notifying import notify_outcome


@flow(
    name="kerp-migrate",
    flow_run_name=run_name,
    timeout_seconds=4 * 3600,
    on_completion=[notify_outcome],
    on_failure=[notify_outcome],
    on_cancellation=[notify_outcome],
    on_crashed=[notify_outcome],
)
def kerp_migrate(
    cluster: str = "production",
    way: Literal["up", "down", "to", "force", "status"] = "up",
    number: Annotated[int, Field(ge=0)] = 1,
) -> State[Any]:
    """Run the migrations that the database lacks; or some down, or up or down to a version. One at a time, under a lock.

    One that fails leaves the database dirty: nothing more is run until somebody looked and said which version it has.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
        way: up: all that lack. down: back so many. to: to a version. force: run nothing, the database has this version. status: look.
        number: For down how many; for to and force the version, 0 is before the first.
    """
    with MigrationRecord(cluster) as record:
        migrate(record, way, number)
    return record.completed()
