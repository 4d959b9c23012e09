"""Bring one service to another version."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.releases import ReleaseRecord, change, named_versions


@flow(name="update", flow_run_name=run_name, timeout_seconds=4 * 3600)
def update(platform: str = "staging", service: str = "", version: str = "") -> State[Any]:
    """Bring one service to another version; everything else stays as the release that runs has it.

    Args:
        platform: The platform.
        service: The service to update.
        version: Its new version: the tag of its image.
    """
    with ReleaseRecord("update", platform) as record:
        change(record, named_versions(f"{service}={version}"))
    return record.completed()
