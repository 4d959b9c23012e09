"""Show the last lines of a service."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.artifacts import Record
from tasks.naming import run_name
from tasks.releases import log_lines, record_lines


@flow(name="platform-logs", flow_run_name=run_name, timeout_seconds=600)
def platform_logs(
    platform: str = "staging", service: str = "nginx", lines: Annotated[int, Field(ge=1, le=1000)] = 100
) -> State[Any]:
    """Show the last lines that a service wrote.

    Args:
        platform: The platform.
        service: The service.
        lines: How many lines.
    """
    with Record(f"Log of {service}") as record:
        record_lines(record, service, log_lines(platform, service, lines))
    return record.completed()
