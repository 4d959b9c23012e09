"""Read stored sets again and compare them with their manifests."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from engine.reports.verify import verify_report, verify_sentence
from tasks.artifacts import Record
from tasks.checks import require_passed, verify_least_recent
from tasks.monitoring import tell_monitor
from tasks.scheduling import Skipped, skipped_if_missed
from tasks.watching import announce


@flow(name="verify-backups", on_completion=[tell_monitor], timeout_seconds=6 * 3600)
def verify_backups(
    store: str = "nightly", budget_gib: Annotated[float, Field(gt=0, le=100000)] = 50
) -> Skipped | None:
    """Read stored bytes again and compare them with the manifests, least recently verified first.

    Args:
        store: The store to verify.
        budget_gib: About how much to read in this run; at least one set is read.
    """
    if skipped := skipped_if_missed():
        return skipped
    with Record(f"Verification of {store}") as record:
        run = verify_least_recent(store, budget_gib)
        record.report = verify_report(run)
    announce("verified", [one.key.server for one in run.reports if one.result == "passed"])
    require_passed(run.result, verify_sentence(run))
    return None
