"""Prove a backup: restore it into a scratch server and compare."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from engine.reports.drill import drill_report
from tasks.artifacts import Record
from tasks.checks import choose_set, drill_set, past_drills, require_equal
from tasks.monitoring import tell_monitor
from tasks.scheduling import skipped_if_missed
from tasks.watching import announce


@flow(name="restore-drill", on_completion=[tell_monitor], timeout_seconds=6 * 3600)
def restore_drill(
    server: str = "platform", store: str = "", database: str = "", which: str = "newest"
) -> State[Any]:
    """Restore a set into a scratch server that nobody can reach, compare it with its proof, remove the server.

    Green only when every table, sequence, large object, role and schema object came back equal. A set whose
    proof covers a sample of the rows ends as Sampled, which proves nothing.
    Nothing live is touched.

    Args:
        server: The server whose backup is drilled.
        store: The store to read from; empty is the server's own.
        database: One database's set; empty is the cluster set, which has all of them.
        which: newest, newest-proven, or a set's id from the list.
    """
    if skipped := skipped_if_missed():
        return skipped
    with Record(f"Drill of {database or server}") as record:
        chosen = choose_set(server, store, database, which)
        trend = past_drills(chosen, server, store)
        report = drill_set(chosen, server, store)
        record.report = drill_report(report, trend)
    if report.result == "passed":
        announce("proven", [server])
    return require_equal(report)
