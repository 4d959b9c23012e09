"""Back up every database of a server, then let old sets go."""

from __future__ import annotations

from prefect import flow

from engine.sets.copies import require_copies
from tasks.artifacts import BackupRecord
from tasks.backups import (
    backup_lock,
    copy_everywhere,
    delete_expired,
    dump_databases,
    list_databases,
    plan_retention,
    publish_cluster,
    require_stored,
    sweep_leftovers,
    tonight,
    withdraw_cluster,
)
from tasks.forms import offer_in_forms
from tasks.monitoring import tell_monitor
from tasks.scheduling import Skipped, skipped_if_missed


@flow(name="nightly-backup", on_completion=[tell_monitor], timeout_seconds=6 * 3600)
def nightly_backup(server: str = "platform") -> Skipped | None:
    """Back up a whole server: one cluster set, one set for each database, then further stores and retention.

    Nothing is locked for writers. If a backup of this server runs already, this one ends at once. A database that
    fails does not stop the others; one that is dropped meanwhile is left out, and the record says so. A further store
    that missed something ends the run as Failed, although the first store has everything.

    Args:
        server: The PostgreSQL server to back up.
    """
    if skipped := skipped_if_missed():
        return skipped
    night = tonight(server)
    with BackupRecord(server) as record, backup_lock(server) as held:
        sweep_leftovers(server)
        outcome = record.begin(list_databases(server))
        dump_databases(night, outcome, record, held)
        if outcome.failures:  # what is stored is copied; nothing old goes
            outcome.copies = copy_everywhere(server, apply_retention=False)
            withdraw_cluster(night, return_state=True)  # what stays is swept by the next night
        require_stored(outcome)
        outcome.cluster = publish_cluster(night, outcome.databases, outcome.found)
        outcome.copies = copy_everywhere(server)
        outcome.plan = plan_retention(server)
        outcome.pruned = delete_expired(outcome.plan, server)
        offer_in_forms([stored.database for stored in outcome.databases])
    require_copies(outcome.copies)
    return None
