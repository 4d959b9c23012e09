"""Ask every service and every route."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.releases import state_record


@flow(name="platform-health", flow_run_name=run_name, timeout_seconds=600)
def platform_health(platform: str = "staging") -> State[Any]:
    """Ask every service itself, and every route through nginx; fail when one is not well.

    Args:
        platform: The platform.
    """
    with state_record(platform, probe=True) as record:
        pass
    return record.completed()
