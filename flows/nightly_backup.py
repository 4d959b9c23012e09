"""Back up all that a source has, then let old sets go."""

from __future__ import annotations

from prefect import flow

from tasks.artifacts import BackupRecord
from tasks.backups import back_up, require_whole
from tasks.forms import offer_what_is_stored
from tasks.monitoring import tell_monitor
from tasks.scheduling import Skipped, skipped_if_missed


@flow(name="nightly-backup", on_completion=[tell_monitor], timeout_seconds=6 * 3600)
def nightly_backup(source: str = "platform") -> Skipped | None:
    """Back up a source: of a PostgreSQL server one cluster set and one set for each database; then copies and retention.

    Nothing is locked for writers. If a backup of this source runs already, this one ends at once. A database that
    fails does not stop the others; one that is dropped meanwhile is left out, and the record says so. A further store
    that missed something ends the run as Failed, although the first store has everything.

    Args:
        source: What to back up.
    """
    if skipped := skipped_if_missed():
        return skipped
    with BackupRecord(source) as record:
        back_up(record)
    offer_what_is_stored(record)
    require_whole(record)
    return None
