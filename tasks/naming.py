"""What runs are called: `platform 11-29 17:17`, whom they are about and when they were due, in this host's zone."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect.runtime import flow_run

WHOM = ("source", "server", "platform", "cluster", "store")
"""The parameters that say whom a run is about; the first one it has."""


def run_name() -> str:
    """For `@flow(flow_run_name=run_name)`: Prefect asks for it as the run begins."""
    parameters = dict(flow_run.parameters or {})
    whom = next((str(parameters[each]) for each in WHOM if parameters.get(each)), "all")
    return f"{whom} {called_at(flow_run.scheduled_start_time)}"


def called_at(due: datetime | None) -> str:
    """The time in a run's name."""
    return (due or datetime.now(UTC)).astimezone().strftime("%m-%d %H:%M")
