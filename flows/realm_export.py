"""Export the realms of a Keycloak that changed."""

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


@flow(name="realm-export", flow_run_name=run_name, on_completion=[ping_monitor], timeout_seconds=3 * 3600)
def realm_export(source: str = "sso") -> State[Any]:
    """Ask a Keycloak which of its realms changed, and store a full export of each that did, with what changed in it.

    An unchanged realm stores nothing. Once a day each is exported whole and compared, since not all is cheap to ask for.
    Nobody is logged out, and Keycloak is not restarted. One that is away is waited for; a realm whose export fails does
    not stop the others.

    Args:
        source: The Keycloak.
    """
    if skipped := skipped_if_missed():
        return skipped
    with BackupRecord(source) as record:
        back_up(record)
    if record.changed:  # else nothing is known that was not, and it is looked at every quarter of an hour
        renew_lists()
    require_whole(record)
    return record.completed()
