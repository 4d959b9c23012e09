"""Go back with the databases that were backed up before the release."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.naming import run_name
from tasks.releases import DatabaseRollbackRecord, roll_back_databases


@flow(name="rollback-database", flow_run_name=run_name, timeout_seconds=6 * 3600)
def rollback_database(
    platform: str = "staging", databases: tuple[str, ...] = (), confirm: tuple[str, ...] = ()
) -> State[Any]:
    """Restore the release's own sets, then start the release before it; the replaced databases are kept.

    The services that use the databases are stopped meanwhile. What was written since the release is in the kept
    databases only.

    Args:
        platform: The platform.
        databases: Which databases; none: all that a service of the platform uses.
        confirm: The name of each live database that is replaced, once more.
    """
    with DatabaseRollbackRecord(platform) as record:
        roll_back_databases(record, databases, confirm)
    return record.completed()
