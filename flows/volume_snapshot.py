"""Back up the volumes of an engine, then let old sets go."""

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


@flow(name="volume-snapshot", flow_run_name=run_name, on_completion=[ping_monitor], timeout_seconds=12 * 3600)
def volume_snapshot(source: str = "volumes") -> State[Any]:
    """Back up the declared volumes, each as a set of its own; then copies and retention.

    Containers that have to stop for it are stopped as shortly as can be, and come back whatever happens, also when this
    run is killed. A volume that fails does not stop the others. One that nobody declared is named in the record.

    Args:
        source: Whose volumes.
    """
    if skipped := skipped_if_missed():
        return skipped
    with BackupRecord(source) as record:
        back_up(record)
    renew_lists()
    require_whole(record)
    return record.completed()
