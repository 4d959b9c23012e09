"""Show what retention would let go, and delete it only when told to."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.artifacts import Record
from tasks.backups import delete_expired, plan_retention, record_retention
from tasks.naming import run_name
from tasks.stored_list import renew_lists


@flow(name="prune-backups", flow_run_name=run_name, timeout_seconds=3600)
def prune_backups(
    source: str = "platform", store: str = "", delete: bool = False, allow_clock_jump: bool = False
) -> State[Any]:
    """Show which sets would go and why each other one stays; delete only when told to.

    Args:
        source: Whose sets are judged.
        store: The store to look at; empty is the source's own.
        delete: Really delete what would go.
        allow_clock_jump: Go on although the clock looks wrong (it went back, or no set is younger than a week).
    """
    with Record(f"Retention of {source}") as record:
        plan = plan_retention(source, store, allow_clock_jump)
        record_retention(record, plan)
        if delete:
            record_retention(record, plan, delete_expired(plan, source, store))
    renew_lists()
    return record.completed()
