"""Stop a platform, or some services of it."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks import releases
from tasks.artifacts import Record
from tasks.naming import run_name


@flow(name="stop", flow_run_name=run_name, timeout_seconds=3600)
def stop(platform: str = "staging", services: tuple[str, ...] = (), confirm: str = "") -> State[Any]:
    """Stop services in the opposite order; containers and volumes stay.

    Args:
        platform: The platform.
        services: Which services; none: all of them.
        confirm: To stop all of a platform whose changes need approval: its name, once more.
    """
    with Record(f"Stop {platform}") as record:
        releases.stop(record, platform, services, confirm)
    return record.completed()
