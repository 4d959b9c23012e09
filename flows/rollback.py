"""Go back to the last good release."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.releases import ReleaseRecord, change


@flow(name="rollback", flow_run_name=run_name, timeout_seconds=4 * 3600)
def rollback(platform: str = "staging") -> State[Any]:
    """Go back to the last good release: images and configuration, from what is on the host. Databases stay as they are.

    Across a migration that is marked as breaking it is refused: rollback-database is the way then.

    Args:
        platform: The platform.
    """
    with ReleaseRecord("rollback", platform) as record:
        change(record)
    return record.completed()
