"""Start services anew."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.releases import ReleaseRecord, change


@flow(name="restart", flow_run_name=run_name, timeout_seconds=4 * 3600)
def restart(platform: str = "staging", services: tuple[str, ...] = ()) -> State[Any]:
    """Start services anew in the same version: rolling ones without a pause, the others stopped first.

    Args:
        platform: The platform.
        services: Which services; none: all of them.
    """
    with ReleaseRecord("restart", platform) as record:
        change(record, dict.fromkeys(services or ("*",), ""))
    return record.completed()
