"""Prove a backup: restore it into something nobody reaches and compare."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.artifacts import Record
from tasks.checks import choose_sets, drill_set, past_drills, record_drill, require_all_equal
from tasks.monitoring import ping_monitor
from tasks.naming import run_name
from tasks.scheduling import skipped_if_missed
from tasks.stored_list import renew_lists


@flow(name="restore-drill", flow_run_name=run_name, on_completion=[ping_monitor], timeout_seconds=6 * 3600)
def restore_drill(source: str = "platform", store: str = "", what: str = "", which: str = "newest") -> State[Any]:
    """Restore a set into something nobody can reach (a scratch server), compare it with its proof, remove it again.

    Green only when all came back equal: every table, sequence, large object, role and schema object of a server. A set
    whose proof covers a sample of the rows ends as Sampled, which proves nothing.
    Nothing live is touched.

    Args:
        source: Whose backup is drilled.
        store: The store to read from; empty is the source's own.
        what: One thing of it, such as db/kohub; empty is the whole (the cluster set, which has all databases; of realms
            and volumes each, one after the other).
        which: newest, newest-proven, or a set's id from the list.
    """
    if skipped := skipped_if_missed():
        return skipped
    with Record(f"Drill of {what or source}") as record:
        chosen = choose_sets(source, store, what, which)
        trend = past_drills(chosen[0], source, store)
        results = [drill_set(one, source, store) for one in chosen]
        record_drill(record, results, trend)
    renew_lists()
    return require_all_equal(results, source, store)
