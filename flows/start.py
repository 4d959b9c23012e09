"""Start a platform, or some services of it."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks import releases
from tasks.artifacts import Record
from tasks.naming import run_name


@flow(name="start", flow_run_name=run_name, timeout_seconds=3600)
def start(platform: str = "staging", services: tuple[str, ...] = ()) -> State[Any]:
    """Start services in dependency order, and wait until each is well.

    Args:
        platform: The platform.
        services: Which services; none: all of them.
    """
    with Record(f"Start {platform}") as record:
        releases.start(record, platform, services)
    return record.completed()
