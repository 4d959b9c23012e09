"""Bring a platform to the versions its files name, or to others."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.releases import ReleaseRecord, change, named_versions


@flow(name="deploy", flow_run_name=run_name, timeout_seconds=4 * 3600)
def deploy(platform: str = "staging", versions: tuple[str, ...] = (), other_versions: str = "") -> State[Any]:
    """Fetch images, plan, wait for approval (prod), back up and verify, migrate, roll out, ask every route, record.

    A rolling service is replaced without a dropped request. Whatever fails leaves the old release serving; a run that is
    killed is finished or reverted by the next one.

    Args:
        platform: The platform to deploy.
        versions: SERVICE=VERSION, of what is on the host; a service that is left out is as the platform's files say.
        other_versions: More of them as text, with spaces between: of versions that are fetched.
    """
    with ReleaseRecord("deploy", platform) as record:
        change(record, named_versions(*versions, other_versions))
    return record.completed()
