"""What is told outside Prefect when a run succeeds: a state hook, so that it never changes the run."""

from __future__ import annotations

from typing import Any

from prefect import Flow, get_run_logger
from prefect.client.schemas.objects import FlowRun, State

from engine.errors import PlatformOpsError
from engine.monitor import push
from engine.secrets import SecretReference
from tasks.opening import source_settings, store_settings
from tasks.running import SAMPLED
from tasks.watching import is_proven


def ping_monitor(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Push to the monitor that the source or store has for this operation, if any; a sample is no success, nor is the
    drill of a part while not all of the source is proven in time."""
    if state.name == SAMPLED:
        return
    reference = _monitor(flow.name, flow_run.parameters)
    if reference is None:
        return
    try:
        if not flow_run.parameters.get("what") or is_proven(flow_run.parameters["source"]):
            push(reference, flow.name)
    except PlatformOpsError as error:
        get_run_logger().warning("%s", error)


def _monitor(operation: str, parameters: dict[str, Any]) -> SecretReference | None:
    monitors: dict[Any, SecretReference] = {}
    if "source" in parameters:
        monitors = dict(source_settings(parameters["source"]).monitors)
    elif "store" in parameters:
        monitors = dict(store_settings(parameters["store"]).monitors)
    return monitors.get(operation)
