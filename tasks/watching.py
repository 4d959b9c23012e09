"""Notice what did not happen: the check of the stores, and the events that automations wait for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from prefect import task
from prefect.events import emit_event

from engine.errors import OperationFailed
from engine.operations.check import check_source, forgotten
from engine.reports.freshness import freshness_report, overdue_sentence
from engine.repository.keys import Asset
from engine.words.report import Report
from tasks.opening import open_source, open_store, source_settings
from tasks.running import BadVerdict, found_by, worth_retrying

Shown = Literal["verified", "proven"]
"""What a run may have shown of a set. A run that merely ended has shown nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found: the report, and what is overdue (empty: nothing)."""

    report: Report
    overdue: str


def look_at(source: str, max_hours: float | None) -> Check:
    """When each thing of the source was last recorded, verified and proven, by what its stores hold."""
    return cast(Check, found_by(_look(source, max_hours, return_state=True)))


@task(
    task_run_name="look at the stores of {source}",
    retries=2,
    retry_delay_seconds=60,
    retry_condition_fn=worth_retrying,
)
def _look(source: str, max_hours: float | None) -> Check:
    now = datetime.now(UTC)
    found = check_source(source, source_settings(source), open_store, now, max_hours)
    more = forgotten(source, source_settings(source), open_source)
    check = Check(freshness_report(found, now, more), overdue_sentence(found, now, more))
    if check.overdue:
        raise BadVerdict(check.overdue, check)
    return check


def is_proven(source: str) -> bool:
    """Whether all that somebody waits for of the source is proven in time, by what its stores hold."""
    found = check_source(source, source_settings(source), open_store, datetime.now(UTC))
    return all(one.fresh for one in found if one.word == "proven")


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


def resource_of(source: str, kind: str, name: str = "") -> str:
    """How events and automations name the sets of a kind of a source, or those of one thing."""
    return f"platform-ops.source.{source}.{kind}{f'.{name}' if name else ''}"


def announce(shown: Shown, assets: Iterable[Asset]) -> None:
    """Tell Prefect's automations that sets of these were shown to be good: of each thing, and of its kind."""
    for asset in dict.fromkeys(each for one in assets for each in (one, one._replace(name=""))):
        named = {"prefect.resource.name": f"{asset.label} of {asset.source}"}
        emit_event(event_of(shown), {"prefect.resource.id": resource_of(*asset), **named})
