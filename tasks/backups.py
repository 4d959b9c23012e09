"""Back up a source, and let old sets go."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import task
from prefect.runtime import flow_run

from engine.operations.backup import BackupRun
from engine.reports.prune import prune_report
from engine.reports.stored_sets import with_shown_sizes
from engine.repository.lease import PATIENCE_SECONDS
from engine.repository.prune import PruneResult, prune
from engine.repository.prune_plan import PrunePlan, plan_prune
from tasks.artifacts import BackupRecord, Record
from tasks.opening import open_source, open_store, store_of
from tasks.running import logged_progress, worth_retrying
from tasks.steps import AsTasks


def back_up(record: BackupRecord) -> None:
    """All that a backup does (engine/operations/backup.py has the order), each step a task of its own."""
    record.run = BackupRun(open_source(record.source), open_store, token=str(flow_run.id), label=str(flow_run.name))
    record.run.carry_out(AsTasks(), record)


def require_whole(record: BackupRecord) -> None:
    """End the run as Failed when not all is stored, or a further store or retention missed something.

    Raises:
        PlatformOpsError: the first failure's sentence, and how many others there are.
    """
    if record.run and (problem := record.run.problem()):
        raise problem


@task(
    task_run_name="plan retention of {source}",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=worth_retrying,
)
def plan_retention(source: str, store: str = "", allow_clock_jump: bool = False) -> PrunePlan:
    """What would go and why each other set stays."""
    repository = open_store(store_of(source, store))
    plan = plan_prune(repository, source, datetime.now(UTC), allow_clock_jump, sizes=True)
    return with_shown_sizes(repository, plan)


@task(
    task_run_name="delete what retention lets go",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=worth_retrying,
)
def delete_expired(plan: PrunePlan, source: str, store: str = "") -> PruneResult:
    """Delete what the plan lets go, unless the store has changed so that it is wanted again."""
    repository = open_store(store_of(source, store))
    return prune(repository, plan, str(flow_run.name), logged_progress(), wait_seconds=PATIENCE_SECONDS)


def record_retention(record: Record, plan: PrunePlan, done: PruneResult | None = None) -> None:
    """Put into the record what goes, or went."""
    record.report = prune_report([(plan, done)])
