"""The readable record that every run leaves: one artifact, the same words as the command line's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect.artifacts import create_markdown_artifact

from engine.postgres.backup import ClusterBackup, DatabaseBackup
from engine.postgres.restore import RestoredDatabase
from engine.postgres.survey import DatabaseFound, excluded_but_unknown
from engine.reports.backup import BackupOutcome, backup_report
from engine.reports.report import Report
from engine.reports.restore import restore_report
from engine.reports.wording import escaped
from engine.sets.copies import CopyRun
from engine.sets.prune import PrunePlan, PruneReport
from tasks.backups import NightTicket
from tasks.opening import open_server, open_store, store_of
from tasks.patience import patient


def leave_record(report: Report, key: str) -> None:
    """Store the report as this run's artifact; `key` groups the runs of one operation."""
    text, title = report.as_markdown(), escaped(report.title)
    patient(lambda: create_markdown_artifact(text, key=key, description=title))


def record_backup(
    night: NightTicket,
    found: Sequence[DatabaseFound],
    dumped: Sequence[DatabaseBackup],
    cluster: ClusterBackup,
    plan: PrunePlan,
    pruned: PruneReport,
    copies: Sequence[CopyRun],
) -> None:
    """What was stored, how big, how long, its proof, what is missing, what was pruned."""
    server = open_server(night.server)
    store = store_of(server)
    outcome = BackupOutcome(
        server=night.server,
        store=store,
        encrypted=bool(open_store(store).recipients),
        databases=dumped,
        cluster=cluster,
        found=found,
        seconds=_since(night.started),
        plan=plan,
        pruned=pruned,
        copies=copies,
        unknown=excluded_but_unknown(found, server),
    )
    leave_record(backup_report(outcome), "nightly-backup")


def record_restore(server: str, restored: Sequence[RestoredDatabase], started: datetime) -> None:
    """Which databases came back, under which names, and where the old ones are."""
    leave_record(restore_report(server, restored, _since(started)), "restore-databases")


def _since(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()
