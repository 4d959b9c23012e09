"""Bring an application in a cluster to a version."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.clusters import ClusterRecord, release
from tasks.naming import run_name
from tasks.notifying import notify_outcome


@flow(
    name="kerp-deploy",
    flow_run_name=run_name,
    timeout_seconds=4 * 3600,
    on_completion=[notify_outcome],
    on_failure=[notify_outcome],
    on_cancellation=[notify_outcome],
    on_crashed=[notify_outcome],
)
def kerp_deploy(cluster: str = "production", version: str = "") -> State[Any]:
    """Plan by a server-side dry run, wait for approval (production), back up and migrate where migrations are due, apply,
    wait for the pods of this revision, ask one of them, record.

    A rollout that cannot succeed is known early and undone by itself, with the reasons in the record. A run that is
    killed is finished or put back by the next one.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
        version: The tag of the image, such as 1a2b3c4d-20260101120000; none: the one that runs, with what the manifests changed.
    """
    with ClusterRecord("deploy", cluster) as record:
        release(record, version=version)
    return record.completed()
