"""Remove old logs."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.clusters import JobRecord, run_job
from tasks.naming import run_name
from tasks.notifying import notify_outcome
from tasks.scheduling import skipped_if_missed


@flow(
    name="log-cleanup",
    flow_run_name=run_name,
    timeout_seconds=6 * 3600,
    on_completion=[notify_outcome],
    on_failure=[notify_outcome],
    on_cancellation=[notify_outcome],
    on_crashed=[notify_outcome],
)
def log_cleanup(cluster: str = "production") -> State[Any]:
    """Run the job that removes logs older than 90 days, and wait for it.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
    """
    if skipped := skipped_if_missed():
        return skipped
    with JobRecord("log-cleanup", cluster) as record:
        run_job(record)
    return record.completed()
