"""Back up the database of an application in a cluster."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.artifacts import BackupRecord
from tasks.backups import back_up, require_whole
from tasks.clusters import backup_of
from tasks.naming import run_name
from tasks.notifying import notify_outcome
from tasks.scheduling import skipped_if_missed
from tasks.stored_list import renew_lists


@flow(
    name="daily-backup",
    flow_run_name=run_name,
    timeout_seconds=6 * 3600,
    on_completion=[notify_outcome],
    on_failure=[notify_outcome],
    on_cancellation=[notify_outcome],
    on_crashed=[notify_outcome],
)
def daily_backup(cluster: str = "production") -> State[Any]:
    """Back up the source that the cluster's settings name (`backup`), as nightly-backup does.

    Args:
        cluster: The application in a cluster, as [clusters.NAME] describes it.
    """
    if skipped := skipped_if_missed():
        return skipped
    with BackupRecord(backup_of(cluster)) as record:
        back_up(record)
    renew_lists()
    require_whole(record)
    return record.completed()
