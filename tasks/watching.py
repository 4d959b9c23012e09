"""Notice what did not happen: the check of the stores, and the events that automations wait for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from prefect import task
from prefect.events import emit_event

from engine.errors import OperationFailed
from engine.reports.freshness import freshness_report, overdue_sentence
from engine.reports.report import Report
from engine.sets.freshness import freshness
from tasks.opening import open_server, open_store
from tasks.running import worth_retrying

Shown = Literal["verified", "proven"]
"""What a run may have shown of a set. A run that merely ended has shown nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found: the report, and what is overdue (empty: nothing)."""

    report: Report
    overdue: str


@task(
    task_run_name="look at the stores of {server}",
    retries=2,
    retry_delay_seconds=60,
    retry_condition_fn=worth_retrying,
)
def look_at(server: str, max_hours: float) -> Check:
    """When the server was last recorded, verified and proven, by what its stores hold."""
    now, settings = datetime.now(UTC), open_server(server).settings
    stores = dict.fromkeys((settings.store, *settings.copies))
    found = freshness(server, {name: open_store(name).catalogue(server) for name in stores}, now, max_hours)
    return Check(freshness_report(found, now, max_hours), overdue_sentence(found, now, max_hours))


def require_fresh(check: Check) -> None:
    """End the run as Failed when something is overdue.

    Raises:
        OperationFailed: what, since when, and what to do.
    """
    if check.overdue:
        raise OperationFailed(check.overdue)


def event_of(shown: Shown) -> str:
    """The event that tells it to Prefect's automations."""
    return f"platform-ops.set.{shown}"


def resource_of(server: str) -> str:
    """How events and automations name a server of platform-ops.toml."""
    return f"platform-ops.server.{server}"


def announce(shown: Shown, servers: Iterable[str]) -> None:
    """Tell Prefect's automations that a set of each of these servers was shown to be good."""
    for server in dict.fromkeys(servers):
        resource = {"prefect.resource.id": resource_of(server), "prefect.resource.name": server}
        emit_event(event_of(shown), resource)
