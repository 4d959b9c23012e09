"""Renew the certificate of a platform, and store what changed."""

from __future__ import annotations

from prefect.runtime import flow_run

from engine.errors import ConfigurationError
from engine.run_state import RunState
from engine.sources.certificates.operation import RenewalRun
from engine.sources.certificates.report import renewal_report
from engine.sources.certificates.source import CertificateSource
from engine.words.report import Report
from tasks.artifacts import BackupRecord
from tasks.backups import back_up
from tasks.opening import open_source
from tasks.steps import AsTasks


class RenewalRecord(BackupRecord):
    """What was due, what was issued, and what was stored of it."""

    renewal: RenewalRun | None = None

    def so_far(self, state: RunState) -> Report:
        report = super().so_far(state)
        return renewal_report(self.renewal, report) if self.renewal and self.renewal.renewed else report


def renew(record: RenewalRecord) -> None:
    """Renew what is due (engine/sources/certificates/renewal.py has the order), then store what no set holds yet."""
    source = open_source(record.source)
    if not isinstance(source, CertificateSource):
        raise ConfigurationError(f"{record.source} is no certificate; name one of [certificates].")
    record.renewal = RenewalRun(source, str(flow_run.name))
    record.renewal.carry_out(AsTasks(), lambda: back_up(record))


def require_renewed(record: RenewalRecord) -> None:
    """End the run as Failed when a renewal failed and not much time is left; before that it is only remarked.

    Raises:
        OperationFailed: what kept it from being renewed, and how many days are left.
    """
    if record.renewal and (problem := record.renewal.problem()):
        raise problem
