"""Change a platform: deploy, update, roll back, start, stop; each step of the engine a task of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import httpx
from prefect import task
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

from engine.errors import PlatformOpsError
from engine.hosts.ending import is_ending
from engine.operations import platform_state
from engine.operations.after_deploy import back_up_after_deploy
from engine.operations.database_rollback import DatabaseRollback
from engine.operations.platform_state import PlatformState
from engine.operations.release import ReleaseRun
from engine.releases.plan import Plan
from engine.releases.versions import versions_of
from engine.reports.platform_state import state_report
from engine.reports.release import database_rollback_report, plan_report, release_report
from engine.run_state import RunState
from engine.sources.postgres.restore.operation import RestoreRun
from engine.words.report import Report, Table
from tasks.approval import approved
from tasks.artifacts import Record
from tasks.opening import open_platform_of, open_server, open_source, open_store, settings_of_sources, store_of
from tasks.patience import patient
from tasks.running import logged_progress, worth_retrying
from tasks.steps import AsTasks

_PAIR = re.compile(r"[\s,]+")


class ReleaseRecord(Record):
    """The plan, the steps with their times, the smoke test; written again at each step."""

    def __init__(self, operation: str, platform: str) -> None:
        super().__init__(f"{operation.capitalize()} of {platform}")
        self.operation = operation
        self.platform = platform
        self.run: ReleaseRun | None = None

    def so_far(self, state: RunState) -> Report:
        return super().so_far(state) if self.run is None else release_report(self.run, state)


def change(record: ReleaseRecord, versions: Mapping[str, str] | None = None) -> None:
    """One change of a platform, from its lock to its record (engine/operations/release.py has the order)."""
    record.run = ReleaseRun(
        open_platform_of(record.platform),
        record.operation,
        requester(),
        lambda plan: _approved(record, plan),
        open_store,
        open_source,
        dict(versions or {}),
    )
    problem: PlatformOpsError | None = None
    try:
        record.run.carry_out(AsTasks(), record)
    except PlatformOpsError as error:  # by anything else this run is being ended
        problem = error
    if record.run.accepted and not is_ending():
        _follow(record.run)
    if problem is not None:
        raise problem


def _follow(run: ReleaseRun) -> None:
    """Store what asks for it after a deploy; what came of it is remarked, and ends no run as Failed."""
    label, steps = str(flow_run.name), AsTasks()
    try:
        sources = patient(settings_of_sources)
        run.remarks += back_up_after_deploy(run.platform.name, sources, open_source, open_store, label, steps)
    except (httpx.HTTPError, PrefectException) as error:
        run.remarks.append(f"The release runs; what is stored after a deploy was not: {error}")


class DatabaseRollbackRecord(Record):
    """Which databases went back, and what runs now."""

    def __init__(self, platform: str) -> None:
        super().__init__(f"Rollback of {platform} with its databases")
        self.platform = platform
        self.run: DatabaseRollback | None = None

    def so_far(self, state: RunState) -> Report:
        return super().so_far(state) if self.run is None else database_rollback_report(self.run, state)


def roll_back_databases(record: DatabaseRollbackRecord, databases: Sequence[str], confirm: Sequence[str]) -> None:
    """Restore the sets that were taken before the release, then go back to the one before."""

    def restore(source: str, set_id: str, names: Sequence[str]) -> RestoreRun:
        return RestoreRun(open_store(store_of(source)), source, open_server(source), names, set_id, in_place=True)

    platform = open_platform_of(record.platform)
    images = ReleaseRun(platform, "rollback", requester(), lambda plan: "", open_store, open_source)
    record.run = DatabaseRollback(platform, restore, images, databases)
    record.run.carry_out(confirm, "`confirm`", AsTasks(), record)


def named_versions(*texts: str) -> dict[str, str]:
    """The versions of a form: `SERVICE=VERSION`, several of them with spaces between.

    Raises:
        ConfigurationError: a word is no such pair, or a service is named twice.
    """
    return versions_of([word for word in _PAIR.split(" ".join(texts)) if word])


def requester() -> str:
    """Who asked for this run, as far as Prefect knows."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    who = run.created_by.display_value if run and run.created_by else None
    return f"{flow_run.name} ({who})" if who else str(flow_run.name)


def _approved(record: ReleaseRecord, plan: Plan) -> str:
    """Show the plan in the UI and wait for a person, where the platform needs approval.

    Raises:
        OperationFailed: it was rejected, or nobody answered in time.
    """
    settings = record.run.platform.settings if record.run else None
    if settings is None or not settings.needs_approval:
        return ""
    return approved(record, plan_report(plan), plan.hash, settings.approval_minutes)


@contextmanager
def state_record(platform: str, *, probe: bool) -> Iterator[Record]:
    """Look at a platform and put what is found into the record; what is not well ends the run as Failed."""
    with Record(f"State of {platform}") as record:
        state = look(platform, probe)
        record.report = state_report(state)
        yield record
        if state.problem:
            raise state.problem


@task(task_run_name="look at {platform}", retries=2, retry_delay_seconds=5, retry_condition_fn=worth_retrying)
def look(platform: str, probe: bool) -> PlatformState:
    return platform_state.look(open_platform_of(platform), probe=probe)


def start(record: Record, platform: str, services: Sequence[str]) -> None:
    """Start services in dependency order; each is a task."""
    platform_state.start(open_platform_of(platform), requester(), services, AsTasks())
    record.report = _done("Started", platform, services)


def stop(record: Record, platform: str, services: Sequence[str], confirmed: str) -> None:
    """Stop services in the opposite order; each is a task."""
    platform_state.stop(open_platform_of(platform), requester(), services, confirmed, AsTasks())
    record.report = _done("Stopped", platform, services)


def _done(verb: str, platform: str, services: Sequence[str]) -> Report:
    return Report(f"{verb} {platform}", f"{verb} {', '.join(services) or 'all services'}.")


@task(task_run_name="the last {lines} lines of {service}")
def log_lines(platform: str, service: str, lines: int) -> list[str]:
    found = list(platform_state.logs(open_platform_of(platform), service, lines))
    progress = logged_progress()
    for line in found:
        progress(line.rstrip("\n"))
    return found


def record_lines(record: Record, service: str, lines: Sequence[str]) -> None:
    """The lines as the record shows them: as text, whatever stands in them."""
    rows = tuple((line.rstrip("\n"),) for line in lines)
    record.report = Report(
        record.title, f"The last {len(rows)} lines of {service}.", tables=(Table("Log", ("line",), rows),)
    )
