"""Back up every database of a server, then let old sets go."""

from __future__ import annotations

from prefect import flow

from engine.sets.copies import require_copies
from tasks.artifacts import record_backup
from tasks.backups import (
    backup_lock,
    copy_everywhere,
    delete_expired,
    dump_databases,
    list_databases,
    plan_retention,
    publish_cluster,
    sweep_leftovers,
    tonight,
)
from tasks.monitoring import tell_monitor
from tasks.scheduling import Skipped, skipped_if_missed


@flow(name="nightly-backup", on_completion=[tell_monitor], timeout_seconds=6 * 3600)
def nightly_backup(server: str = "platform") -> Skipped | None:
    """Back up a whole server: one cluster set, one set for each database, then further stores and retention.

    Nothing is locked for writers. If a backup of this server runs already, this one ends at once. A database that
    is dropped meanwhile is left out, and the record says so. A further store that missed something ends the run as
    Failed, although the first store has everything.

    Args:
        server: The PostgreSQL server to back up.
    """
    if skipped := skipped_if_missed():
        return skipped
    night = tonight(server)
    with backup_lock(server):
        sweep_leftovers(server)
        found = list_databases(server)
        dumped, found = dump_databases(found, night)
        cluster = publish_cluster(night, dumped, found)
        copies = copy_everywhere(server)
        plan = plan_retention(server)
        pruned = delete_expired(plan, server)
    record_backup(night, found, dumped, cluster, plan, pruned, copies)
    require_copies(copies)
    return None
