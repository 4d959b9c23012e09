"""Restore volumes, beside the live ones or in place of them."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.restoring import RestoringRecord, plan_restoring, restore_confirmed
from tasks.stored_list import renew_lists


@flow(name="restore-volumes", flow_run_name=run_name, timeout_seconds=12 * 3600)
def restore_volumes(
    source: str = "volumes",
    store: str = "",
    volumes: tuple[str, ...] = (),
    everything: bool = False,
    which: str = "newest",
    into: str = "",
    in_place: bool = False,
    confirm: tuple[str, ...] = (),
    dry_run: bool = False,
) -> State[Any]:
    """Restore volumes under new names, with owners, modes, times, links and attributes as they were.

    In place: the restored one takes the live one's name once it is proven, in one step; what uses it is stopped for that
    and comes back always. The live one is kept under another name. One that fails does not keep the others from coming
    back. On an empty host, on the worst day: everything, in place; nothing has to be confirmed.

    Args:
        source: Whose backups are used, and where they are restored.
        store: The store to read from; empty is the source's own.
        volumes: Names of volumes.
        everything: In the place of names: every volume there is a set of.
        which: newest, newest-proven, or a set's id from the list.
        into: What one volume is to be called; empty is its own name in place, else a new one.
        in_place: Replace the live volumes instead of restoring beside them.
        confirm: With in place: the name of each live volume that is replaced, once more.
        dry_run: Show the plan, with what would have to be confirmed, and do nothing.
    """
    with RestoringRecord(source) as record:
        plan_restoring(record, store, volumes, everything, which, into, in_place)
        if not dry_run:
            restore_confirmed(record, confirm)
    renew_lists()
    return record.completed()
