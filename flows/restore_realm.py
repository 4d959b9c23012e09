"""Bring a realm back, beside the live one or in place of it."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.restoring import RestoringRecord, plan_restoring, restore_confirmed
from tasks.stored_list import renew_lists


@flow(name="restore-realm", flow_run_name=run_name, timeout_seconds=3 * 3600)
def restore_realm(
    source: str = "sso",
    store: str = "",
    realms: tuple[str, ...] = (),
    everything: bool = False,
    which: str = "newest",
    into: str = "",
    in_place: bool = False,
    confirm: tuple[str, ...] = (),
    dry_run: bool = False,
) -> State[Any]:
    """Restore a realm as another one beside the live realm, or in place of it; what came back is compared with the set.

    In place the live realm is exported and stored first, and comes back when the restored one is not as it was in its
    set. Who is logged in stays so, and Keycloak is not restarted. The realm master is restored beside only.

    Args:
        source: The Keycloak.
        store: The store to read from; empty is the Keycloak's own.
        realms: Names of realms; may be left out where there are sets of one only.
        everything: In the place of names: every realm there is a set of.
        which: newest, newest-proven, or a set's id from the list.
        into: What a realm beside is called; empty is its name with the time.
        in_place: Replace the live realm instead of restoring beside it.
        confirm: With in place: the name of each live realm that is replaced, once more.
        dry_run: Show the plan, with what would have to be confirmed, and do nothing.
    """
    with RestoringRecord(source) as record:
        plan_restoring(record, store, realms, everything, which, into, in_place)
        if not dry_run:
            restore_confirmed(record, confirm)
    renew_lists()
    return record.completed()
