"""Flow runs, started and followed through the API like any client does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    LogFilter,
    LogFilterFlowRunId,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import LogSort
from prefect.states import Crashed

from demo.progress import Progress
from engine.errors import OperationFailed

_POLL_SECONDS = 1.0
_RUN_SECONDS = 900.0
_LAST_LOGS_SECONDS = 1.5  # logs reach the server in batches, the last one after the run's end
_PAGE = 200
_NOISE = (
    "Beginning flow run",
    "Downloading flow code",
    "Finished in state",
    "Flow run '",
    "Hook '",
    "Running hook '",
    "Worker '",
)
_GOING = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)


def settle_orphans(pools: list[str], progress: Progress) -> None:
    """Call runs crashed whose worker was gone before it was started again: nobody works on them."""
    with get_client(sync_client=True) as client:
        for pool in pools:
            pool_filter = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
            for run in client.read_flow_runs(flow_run_filter=_going(), work_pool_filter=pool_filter):
                message = "Its worker was stopped before it ended. Start the run again."
                client.set_flow_run_state(run.id, Crashed(message=message))
                progress.say(f"Prefect: the run {run.name} was left by a stopped worker; it is marked crashed")


def run(
    name: str, progress: Progress, trouble: Callable[[], str | None], parameters: dict[str, Any] | None = None
) -> FlowRun:
    """Run the deployment `name` and follow it to its end; one that is going already is followed instead.

    `trouble` says why nobody works on it any more, or nothing.

    Raises:
        OperationFailed: it did not end in time, or not well; its last words are in the sentence.
    """
    with get_client(sync_client=True) as client:
        started = _going_run(client, name)
        if started is None:
            deployment = client.read_deployment_by_name(f"{name}/{name}")
            started = client.create_flow_run_from_deployment(deployment.id, parameters=parameters or {})
        with progress.doing(f"{name}: flow run {started.name}"):
            ended = _followed(client, started.id, name, progress, trouble)
    state = ended.state
    if state is None or state.type is not StateType.COMPLETED:
        what = "has no state" if state is None else f"is {state.name}: {state.message}"
        raise OperationFailed(f"The flow run {ended.name} of {name} {what}; look at it in the Prefect UI.")
    return ended


def _going() -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_GOING))))


def _due() -> FlowRunFilter:
    waiting = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    due = FlowRunFilterNextScheduledStartTime.model_validate({"before_": datetime.now(UTC)})
    return FlowRunFilter(state=waiting, next_scheduled_start_time=due)


def _going_run(client: SyncPrefectClient, name: str) -> FlowRun | None:
    """The run that a new one would wait for: it runs, or a worker is about to take it."""
    named = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    for wanted in (_going(), _due()):
        for found in client.read_flow_runs(flow_run_filter=wanted, deployment_filter=named):
            return found
    return None


def _followed(
    client: SyncPrefectClient,
    run_id: UUID,
    name: str,
    progress: Progress,
    trouble: Callable[[], str | None],
) -> FlowRun:
    deadline = time.monotonic() + _RUN_SECONDS
    shown: set[UUID] = set()
    state = ""
    while time.monotonic() < deadline:
        current = client.read_flow_run(run_id)
        if current.state is not None and current.state.name != state:
            state = current.state.name or current.state.type.value
            progress.say(f"{name}: {state}")
        _show(client, run_id, name, shown, progress)
        if current.state is not None and current.state.is_final():
            time.sleep(_LAST_LOGS_SECONDS)
            _show(client, run_id, name, shown, progress)
            return current
        if found := trouble():
            raise OperationFailed(f"{name} cannot go on: {found}")
        time.sleep(_POLL_SECONDS)
    raise OperationFailed(
        f"{name} did not end within {_RUN_SECONDS:.0f} s; look at the run in the Prefect UI and at its worker's log."
    )


def _show(client: SyncPrefectClient, run_id: UUID, name: str, shown: set[UUID], progress: Progress) -> None:
    for log_id, line in _logs(client, run_id):
        if log_id not in shown:
            shown.add(log_id)
            progress.say(f"{name}: {_one_line(line)}")


def _one_line(text: str) -> str:
    """A traceback's first and last line; the UI has it all."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else " ... ".join((lines[0], lines[-1])) if lines else ""


def _logs(client: SyncPrefectClient, run_id: UUID) -> Iterator[tuple[UUID, str]]:
    """What the run wrote so far, in order, without what its states say already."""
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id]))
    offset = 0
    while True:
        page = client.read_logs(log_filter=wanted, sort=LogSort.TIMESTAMP_ASC, limit=_PAGE, offset=offset)
        for log in page:
            if log.id is not None and not log.message.startswith(_NOISE):
                yield log.id, log.message
        if len(page) < _PAGE:
            return
        offset += _PAGE


def seconds(run: FlowRun) -> float:
    """How long the run itself took, without waiting for a worker."""
    if run.start_time is None or run.end_time is None:
        return 0.0
    return run.end_time.timestamp() - run.start_time.timestamp()
