"""Fail when something that is kept was not recorded, verified or proven in time."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.artifacts import Record
from tasks.monitoring import ping_monitor
from tasks.naming import run_name
from tasks.scheduling import skipped_if_missed
from tasks.stored_list import renew_lists
from tasks.watching import look_at, require_fresh


@flow(name="check-backups", flow_run_name=run_name, on_completion=[ping_monitor], timeout_seconds=1800)
def check_backups(
    source: str = "platform", max_hours: Annotated[float, Field(gt=0, le=8760)] | None = None
) -> State[Any]:
    """Ask the stores themselves when a source was last recorded, verified and proven; fail when something is overdue.

    It needs no other run to have told anything: it notices also what never started. Only names are read.

    Args:
        source: What is asked for, in its store and its further copies.
        max_hours: How long ago each may be; empty is as its kind has it (a server's cluster set: 26).
    """
    if skipped := skipped_if_missed():
        return skipped
    with Record(f"Check of the backups of {source}") as record:
        check = look_at(source, max_hours)
        record.report = check.report
    renew_lists()
    require_fresh(check)
    return record.completed()
