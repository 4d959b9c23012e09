"""Who is told how a run ended: a notification block (Slack, Teams, ...), whatever the outcome. State hooks, so that
telling changes no run."""

from __future__ import annotations

from typing import Any

from prefect import Flow, get_run_logger
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State

from engine.errors import PlatformOpsError
from tasks.opening import open_cluster

ALERTS = "alerts"
"""The block that an operator makes in the UI; failed and crashed runs are told to it by an automation, also where the
process is gone."""


def notify_outcome(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell the block that the cluster's settings name: which operation, of what, in which version, how it ended."""
    logger = get_run_logger()
    try:
        name = open_cluster(str(flow_run.parameters["cluster"])).settings.notify or ALERTS
    except PlatformOpsError:
        name = ALERTS
    if name == ALERTS and not (state.is_completed() or state.is_cancelled()):
        return
    try:
        block = _notification_block(name)
        if block is None:
            logger.info("Nobody is told: there is no notification block called %s", name)
            return
        with block.raise_on_failure():
            block.notify(_body(flow_run, state), subject=_subject(flow, flow_run, state))
    except Exception as error:  # noqa: BLE001 - whatever the service says, the run is what it is
        logger.warning("The block %s could not tell anybody (%s)", name, type(error).__name__)


def _subject(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> str:
    version = str(flow_run.parameters.get("version") or "")
    return f"{flow.name} of {flow_run.parameters.get('cluster')}{f' to {version}' if version else ''}: {state.name}"


def _body(flow_run: FlowRun, state: State[Any]) -> str:
    text = (state.message or "").replace("Flow run encountered an exception: ", "")
    return f"{text}\n(run {flow_run.name})"


def _notification_block(name: str) -> Any:
    query = {
        "block_documents": {"name": {"any_": [name]}},
        "block_schemas": {"block_capabilities": {"all_": ["notify"]}},
        "limit": 1,
    }
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/block_documents/filter", json=query).json()
    if not found:
        return None
    load: Any = Block.load
    block = load(f"{found[0]['block_type']['slug']}/{name}", _sync=True)
    return block if isinstance(block, NotificationBlock) else None
