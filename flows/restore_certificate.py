"""Bring a certificate back, beside the one that nginx shows or in place of it."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.restoring import RestoringRecord, plan_restoring, restore_confirmed
from tasks.stored_list import renew_lists


@flow(name="restore-certificate", flow_run_name=run_name, timeout_seconds=3600)
def restore_certificate(
    source: str = "tls",
    store: str = "",
    which: str = "newest",
    into: str = "",
    in_place: bool = False,
    confirm: tuple[str, ...] = (),
    dry_run: bool = False,
) -> State[Any]:
    """Restore a certificate with its key into a folder on the platform's host, or let nginx show it.

    In place nginx tries it first, and is seen to show it; else the one before is shown again. That one stays beside it.

    Args:
        source: The certificate.
        store: The store to read from; empty is the certificate's own.
        which: newest, newest-proven, or a set's id from the list.
        into: What the folder is called; empty is a name with the time.
        in_place: Let nginx show it, instead of a folder beside.
        confirm: With in place: the certificate's name once more.
        dry_run: Show the plan, and do nothing.
    """
    with RestoringRecord(source) as record:
        plan_restoring(record, store, (), False, which, into, in_place)
        if not dry_run:
            restore_confirmed(record, confirm)
    renew_lists()
    return record.completed()
