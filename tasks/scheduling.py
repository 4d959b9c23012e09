"""Scheduled runs that were missed: the newest one does the work, the ones before it say so and end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext
from prefect.states import Cancelled

from engine.words.report import Report
from engine.words.wording import readable_time
from tasks.artifacts import Record
from tasks.running import SKIPPED

_DOES_THE_WORK = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.COMPLETED]

Skipped = State[Any]
"""What a flow returns that leaves the work to a newer run."""


def skipped_if_missed() -> Skipped | None:
    """The state to end with when a newer scheduled run of the same operation is due too; None: go on.

    After an outage every missed run starts: one backup of that server is wanted then, not three. Neither
    a run that somebody started nor one that is retried is ever skipped.
    """
    context = FlowRunContext.get()
    own = context.flow_run if context else None
    if own is None or not own.auto_scheduled or own.run_count > 1 or own.expected_start_time is None:
        return None
    newest = max(_newer(own), key=_due, default=None)
    if newest is None:
        return None
    message = (
        f"Missed at {readable_time(_due(own))}; the run that was due at {readable_time(_due(newest))} does the work."
    )
    Record("Skipped").show(Report("Skipped", message))
    return Cancelled(name=SKIPPED, message=message)


def _newer(own: FlowRun) -> Iterator[FlowRun]:
    """Runs of the same deployment and parameters that were due after this one and have not failed."""
    wanted = FlowRunFilter(
        expected_start_time=FlowRunFilterExpectedStartTime(after_=_due(own), before_=datetime.now(UTC)),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_DOES_THE_WORK)),
    )
    same = DeploymentFilter(id=DeploymentFilterId(any_=[own.deployment_id] if own.deployment_id else []))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=wanted, deployment_filter=same)
    for run in found:
        if run.auto_scheduled and run.parameters == own.parameters and _due(run) > _due(own):
            yield run


def _due(run: FlowRun) -> datetime:
    return run.expected_start_time or datetime.max.replace(tzinfo=UTC)
