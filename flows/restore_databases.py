"""Restore one, several or all databases of a live server."""

from __future__ import annotations

from prefect import flow

from tasks.artifacts import RestoreRecord
from tasks.restores import plan_restore, require_restored, restore


@flow(name="restore-databases", timeout_seconds=12 * 3600)
def restore_databases(
    server: str = "platform",
    store: str = "",
    databases: tuple[str, ...] = (),
    everything: bool = False,
    which: str = "newest",
    in_place: bool = False,
    confirm: tuple[str, ...] = (),
    despite_errors: bool = False,
) -> None:
    """Restore databases beside the live ones, under new names, with owners, grants and missing roles.

    In place: the live database is renamed and kept, the restored one takes its name, once it is proven. One that fails
    does not keep the others from coming back.

    Args:
        server: The server to restore into; its own backups are used.
        store: The store to read from; empty is the server's own.
        databases: Names of databases.
        everything: In the place of names: all databases of the newest cluster set.
        which: newest, newest-proven, or a set's id from the list (a cluster set's gives its databases).
        in_place: Replace the live database instead of restoring beside it.
        confirm: With in place: the name of each live database that is replaced, once more; an empty server needs none.
        despite_errors: Where not all of a database comes back, take the rest of it; what does not is named.
    """
    with RestoreRecord(server) as record:
        plan_restore(record, store, databases, everything, which, in_place, confirm, despite_errors)
        restore(record)
        require_restored(record)
