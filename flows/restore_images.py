"""Load the images of a platform's last good releases into its engine."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.restoring import RestoringRecord, plan_restoring, restore_confirmed
from tasks.stored_list import renew_lists


@flow(name="restore-images", flow_run_name=run_name, timeout_seconds=4 * 3600)
def restore_images(source: str = "images", store: str = "", which: str = "newest", dry_run: bool = False) -> State[Any]:
    """Load images that were archived: the same ids, under the tags that releases know them by. No registry is asked.

    Nothing that is there is replaced: what an image was asked for as is given to it only where no other image has it.

    Args:
        source: The images of which platform.
        store: The store to read from; empty is the source's own.
        which: newest, newest-proven, or a set's id from the list.
        dry_run: Show the plan, and do nothing.
    """
    with RestoringRecord(source) as record:
        plan_restoring(record, store, (), False, which, "", False)
        if not dry_run:
            restore_confirmed(record, ())
    renew_lists()
    return record.completed()
