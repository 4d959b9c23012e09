"""Renew the certificate of a platform when it is due, and store what changed."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.backups import require_whole
from tasks.certificates import RenewalRecord, renew, require_renewed
from tasks.monitoring import ping_monitor
from tasks.naming import run_name
from tasks.scheduling import skipped_if_missed
from tasks.stored_list import renew_lists


@flow(name="certificate-renew", flow_run_name=run_name, on_completion=[ping_monitor], timeout_seconds=3600)
def certificate_renew(source: str = "tls") -> State[Any]:
    """Issue or renew a certificate, try it, let nginx show it, and store it as a set when it changed.

    It is due when it has fewer days left than renew_days, or is not for the names that are wanted. Whatever fails (the
    authority, the new certificate, nginx) keeps the one before; the run ends as Failed only when fewer days than
    warn_days are left, and until then is tried again each day.

    Args:
        source: The certificate.
    """
    if skipped := skipped_if_missed():
        return skipped
    with RenewalRecord(source) as record:
        renew(record)
        require_renewed(record)
    renew_lists()
    require_whole(record)
    return record.completed()
