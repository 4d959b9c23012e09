"""Back up all that a source has, then let old sets go."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.artifacts import BackupRecord
from tasks.backups import back_up, require_whole
from tasks.monitoring import ping_monitor
from tasks.naming import run_name
from tasks.scheduling import skipped_if_missed
from tasks.stored_list import renew_lists


@flow(name="nightly-backup", flow_run_name=run_name, on_completion=[ping_monitor], timeout_seconds=6 * 3600)
def nightly_backup(source: str = "platform") -> State[Any]:
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
    renew_lists()
    require_whole(record)
    return record.completed()
