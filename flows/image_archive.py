"""Store the images of a platform's last good releases."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.artifacts import BackupRecord
from tasks.backups import back_up, require_whole
from tasks.monitoring import ping_monitor
from tasks.naming import run_name
from tasks.stored_list import renew_lists


@flow(name="image-archive", flow_run_name=run_name, on_completion=[ping_monitor], timeout_seconds=4 * 3600)
def image_archive(source: str = "images") -> State[Any]:
    """Store the images of the release that runs and of the good one before it, so that a new host needs no registry.

    Each layer is stored once, whatever images have it; what no stored image needs any more goes. After a deploy this is
    done by itself.

    Args:
        source: The images of which platform.
    """
    with BackupRecord(source) as record:
        back_up(record)
    renew_lists()
    require_whole(record)
    return record.completed()
