"""Show what runs."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.releases import state_record


@flow(name="platform-status", flow_run_name=run_name, timeout_seconds=600)
def platform_status(platform: str = "staging") -> State[Any]:
    """Show each service's version, image, since when it runs, and its health check; fail when one is not well.

    Args:
        platform: The platform.
    """
    with state_record(platform, probe=False) as record:
        pass
    return record.completed()
