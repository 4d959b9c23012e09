"""Restore one, several or all databases into a live server."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.artifacts import RestoreRecord
from tasks.naming import run_name
from tasks.restores import plan_restore, require_confirmed, require_restored, restore
from tasks.stored_list import renew_lists


@flow(name="restore-databases", flow_run_name=run_name, timeout_seconds=12 * 3600)
def restore_databases(
    server: str = "platform",
    to: str = "",
    store: str = "",
    databases: tuple[str, ...] = (),
    everything: bool = False,
    which: str = "newest",
    in_place: bool = False,
    confirm: tuple[str, ...] = (),
    despite_errors: bool = False,
    role_passwords: tuple[str, ...] = (),
    dry_run: bool = False,
) -> State[Any]:
    """Restore databases beside the live ones, under new names, with owners, grants and missing roles.

    In place: the live database is renamed and kept, the restored one takes its name, once it is proven. One that fails
    does not keep the others from coming back. A server that is empty, on the worst day: everything, in place, and to
    the new server; nothing has to be confirmed.

    Args:
        server: Whose backups are used.
        to: The server to restore into; empty is the same one.
        store: The store to read from; empty is the server's own.
        databases: Names of databases.
        everything: In the place of names: all databases of the newest cluster set.
        which: newest, newest-proven, or a set's id from the list (a cluster set's gives its databases).
        in_place: Replace the live databases instead of restoring beside them.
        confirm: With in place: the name of each live database that is replaced, once more; an empty server needs none.
        despite_errors: Where not all of a database comes back, take the rest of it; what does not is named.
        role_passwords: Where the passwords are of roles that are created, each ROLE=REFERENCE: ROLE=prefect:block,
            ROLE=aws:name, ROLE=file:/path of the worker. Never the password itself.
        dry_run: Show the plan, with what would have to be confirmed, and do nothing.
    """
    with RestoreRecord(to or server) as record:
        plan_restore(record, server, store, databases, everything, which, in_place, despite_errors, role_passwords)
        if not dry_run:
            require_confirmed(record, confirm)
            restore(record)
            require_restored(record)
    renew_lists()
    return record.completed()
