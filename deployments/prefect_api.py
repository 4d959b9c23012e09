"""The few questions and changes `apply` has for the Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from deployments.plan import Existing, Scheduled
from engine.errors import ConfigurationError, TransientFailure
from tasks.forms import Schema


@contextmanager
def connected() -> Iterator[SyncPrefectClient]:
    """A client of the configured server, which must answer.

    Raises:
        ConfigurationError: no server is configured (Prefect would start a throw-away one).
        TransientFailure: it does not answer.
    """
    url = get_current_settings().api.url
    if not url:
        raise ConfigurationError(
            "No Prefect server is configured; set PREFECT_API_URL (for example http://127.0.0.1:4200/api)."
        )
    with get_client(sync_client=True) as client:
        try:
            client.hello()
        except (httpx.HTTPError, RuntimeError) as error:
            raise TransientFailure(
                f"The Prefect server at {url} does not answer ({type(error).__name__}); start it and try again."
            ) from None
        yield client


def ensure_pool(client: SyncPrefectClient, name: str, description: str) -> bool:
    """Make the process work pool `name` when it is missing; True when it was made."""
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process", description=description))
        return True
    return False


def ensure_queue(client: SyncPrefectClient, pool: str, name: str) -> str:
    """Make the pool's queue `name` hand out one run at a time; `+`, `~` or `=` as it was.

    A queue knows no servers: with room for two, two runs of one server would start.
    """
    try:
        queue = client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        client.create_work_queue(name, concurrency_limit=1, work_pool_name=pool)
        return "+"
    if queue.concurrency_limit == 1:
        return "="
    client.update_work_queue(queue.id, concurrency_limit=1)
    return "~"


def find_deployment(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    """The deployment of that name, of the flow of the same name; or None."""
    try:
        return client.read_deployment_by_name(f"{name}/{name}")
    except ObjectNotFound:
        return None


def content(deployment: DeploymentResponse) -> dict[str, Any]:
    """What of a deployment is ours to set, as plain data that can be compared."""
    return {
        "entrypoint": deployment.entrypoint,
        "description": deployment.description,
        "tags": sorted(deployment.tags),
        "work pool": deployment.work_pool_name,
        "job variables": deployment.job_variables,
        "parameters": deployment.parameters,
        "form": deployment.parameter_openapi_schema,
        "work queue": deployment.work_queue_name,
        "paused": deployment.paused,
        "schedules": sorted(str(_scheduled(schedule)) for schedule in deployment.schedules),
    }


def as_existing(deployment: DeploymentResponse) -> Existing:
    """What must survive a redeployment."""
    schedules = tuple(_scheduled(schedule) for schedule in deployment.schedules)
    return Existing(paused=deployment.paused, schedules=schedules)


def _scheduled(schedule: DeploymentSchedule) -> Scheduled:
    return Scheduled(
        slug=schedule.slug,
        active=schedule.active,
        parameters=dict(schedule.parameters),
        spec=_spec(schedule.schedule),
    )


def _spec(schedule: Any) -> dict[str, Any]:
    if isinstance(schedule, CronSchedule):
        return {"cron": schedule.cron, "timezone": schedule.timezone, "day_or": schedule.day_or}
    if isinstance(schedule, IntervalSchedule):
        anchor = schedule.anchor_date.isoformat()
        seconds = schedule.interval.total_seconds()
        return {"interval": seconds, "anchor_date": anchor, "timezone": schedule.timezone}
    return {"rrule": schedule.rrule, "timezone": schedule.timezone}


def set_schema(client: SyncPrefectClient, deployment: DeploymentResponse, schema: Schema) -> None:
    """Replace a deployment's parameter schema; everything else of it stays."""
    client.update_deployment(
        deployment.id,
        DeploymentUpdate.model_validate({"parameter_openapi_schema": schema}),
    )


def delete_schedules(client: SyncPrefectClient, deployment: DeploymentResponse, slugs: set[str]) -> None:
    """Delete the schedules with exactly these slugs."""
    for schedule in deployment.schedules:
        if schedule.slug in slugs:
            client.delete_deployment_schedule(deployment.id, schedule.id)
