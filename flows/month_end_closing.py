"""Close a month."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.clusters import JobRecord, closing_month, run_job
from tasks.naming import run_name
from tasks.notifying import notify_outcome


@flow(
    name="month-end-closing",
    flow_run_name=run_name,
    timeout_seconds=6 * 3600,
    on_completion=[notify_outcome],
    on_failure=[notify_outcome],
    on_cancellation=[notify_outcome],
    on_crashed=[notify_outcome],
)
def month_end_closing(cluster: str = "production", month: str = "") -> State[Any]:
    """Run the worker as a Job and wait for it. A month that was closed is not closed again, and a Job that runs is waited for.

    A run that was missed closes the month it was due in, whenever it comes.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
        month: Which month, such as 2026-11; none: the last one that had come to its end (23:00 in Seoul) when the run was due.
    """
    with JobRecord("month-end-closing", cluster) as record:
        run_job(record, closing_month(month))
    return record.completed()
