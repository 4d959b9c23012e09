"""Read stored sets again and compare them with their manifests."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.artifacts import Record
from tasks.checks import record_verification, require_verified, verify_least_recent
from tasks.monitoring import ping_monitor
from tasks.naming import run_name
from tasks.scheduling import skipped_if_missed
from tasks.stored_list import renew_lists


@flow(name="verify-backups", flow_run_name=run_name, on_completion=[ping_monitor], timeout_seconds=6 * 3600)
def verify_backups(store: str = "nightly", budget_gib: Annotated[float, Field(gt=0, le=100000)] = 50) -> State[Any]:
    """Read stored bytes again and compare them with the manifests, least recently verified first.

    Args:
        store: The store to verify.
        budget_gib: About how much to read in this run; at least one set is read.
    """
    if skipped := skipped_if_missed():
        return skipped
    with Record(f"Verification of {store}") as record:
        run = verify_least_recent(store, budget_gib)
        record_verification(record, run)
    renew_lists()
    require_verified(run)
    return record.completed()
