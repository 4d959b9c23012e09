"""Show what retention would let go, and delete it only when told to."""

from __future__ import annotations

from prefect import flow

from engine.reports.prune import prune_report
from tasks.artifacts import Record
from tasks.backups import delete_expired, plan_retention


@flow(name="prune-backups", timeout_seconds=3600)
def prune_backups(
    server: str = "platform", store: str = "", delete: bool = False, allow_clock_jump: bool = False
) -> None:
    """Show which sets would go and why each other one stays; delete only when told to.

    Args:
        server: The server whose sets are judged.
        store: The store to look at; empty is the server's own.
        delete: Really delete what would go.
        allow_clock_jump: Go on although the clock looks wrong (it went back, or no set is younger than a week).
    """
    with Record(f"Retention of {server}") as record:
        plan = plan_retention(server, store, allow_clock_jump)
        record.report = prune_report([(plan, None)])
        if delete:
            record.report = prune_report([(plan, delete_expired(plan, server, store))])
