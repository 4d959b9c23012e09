"""Change and watch an application in a Kubernetes cluster; each step of the engine a task of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from prefect.runtime import flow_run

from engine.errors import ConfigurationError
from engine.kubernetes.plan import ClusterPlan
from engine.operations.cluster_history import history
from engine.operations.cluster_incident import Incident
from engine.operations.cluster_job import JobRun
from engine.operations.cluster_migration import MigrationRun, Way, migrate_alone
from engine.operations.cluster_release import ClusterRun
from engine.reports.cluster import cluster_plan_report, cluster_report, history_report
from engine.reports.cluster_work import incident_report, job_report, load_report, migration_report
from engine.run_state import RunState
from engine.steps import Steps
from engine.words.report import Report, Table
from tasks.approval import approved
from tasks.artifacts import Record
from tasks.opening import open_cluster, open_source, open_store
from tasks.releases import requester
from tasks.running import logged_progress
from tasks.steps import AsTasks

SEOUL = ZoneInfo("Asia/Seoul")


class ClusterRecord(Record):
    """The plan, the steps with their times, why a rollout failed; written again at each step."""

    def __init__(self, operation: str, cluster: str) -> None:
        super().__init__(f"{operation.capitalize()} of {cluster}")
        self.operation, self.cluster = operation, cluster
        self.run: ClusterRun | None = None

    def so_far(self, state: RunState) -> Report:
        return super().so_far(state) if self.run is None else cluster_report(self.run, state)


def release(record: ClusterRecord, *, version: str = "", to_revision: int = 0) -> None:
    """One change, from its lock to its record (engine/operations/cluster_release.py has the order)."""
    connection = open_cluster(record.cluster)

    def ask(plan: ClusterPlan) -> str:
        settings = connection.settings
        if not settings.needs_approval:
            return ""
        return approved(record, cluster_plan_report(plan), plan.hash, settings.approval_minutes)

    record.run = ClusterRun(
        connection,
        record.operation,
        requester(),
        ask,
        open_store,
        open_source,
        version=version.strip(),
        to_revision=to_revision,
    )
    record.run.carry_out(AsTasks(), record)


class MigrationRecord(Record):
    """Which migrations were run, and where the database is."""

    def __init__(self, cluster: str) -> None:
        super().__init__(f"Migration of {cluster}")
        self.cluster = cluster
        self.run: MigrationRun | None = None

    def so_far(self, state: RunState) -> Report:
        return super().so_far(state) if self.run is None else migration_report(self.run, state)


def migrate(record: MigrationRecord, way: Way, version: int) -> None:
    """Run migrations, each a task."""
    connection = open_cluster(record.cluster)
    number = None if way in ("up", "status") else version
    record.run = MigrationRun(record.cluster, connection.settings, way, number)
    migrate_alone(connection, requester(), record.run, AsTasks(), record)


class JobRecord(Record):
    """What a job did, and its last lines."""

    def __init__(self, job: str, cluster: str) -> None:
        super().__init__(f"{job} of {cluster}")
        self.job, self.cluster = job, cluster
        self.run: JobRun | None = None

    def so_far(self, state: RunState) -> Report:
        return super().so_far(state) if self.run is None else job_report(self.run, state)


def run_job(record: JobRecord, period: str = "") -> None:
    """Make a Job of a CronJob and wait for it."""
    record.run = JobRun(open_cluster(record.cluster), record.job, period)
    record.run.carry_out(AsTasks(), record)


def closing_month(given: str = "", due: datetime | None = None) -> str:
    """The month that a closing is for: the one that is named, else the last one that had come to 23:00 of its last day in
    Seoul when the run was due. A run that was missed closes its own month whenever it comes.

    Raises:
        ConfigurationError: it is no month.
    """
    if given:
        try:
            return datetime.strptime(given.strip(), "%Y-%m").strftime("%Y-%m")  # noqa: DTZ007 - a month has no zone
        except ValueError:
            raise ConfigurationError(f"{given[:20]!r} is no month; write it as 2026-11.") from None
    found = due or flow_run.scheduled_start_time or datetime.now(UTC)
    moment = datetime.fromtimestamp(found.timestamp(), SEOUL)  # Prefect's own DateTime loses its zone when it adds
    in_an_hour = moment + timedelta(hours=1)
    if in_an_hour.month != moment.month:
        return moment.strftime("%Y-%m")
    return (moment.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")


class IncidentRecord(Record):
    """What a command did to an application."""

    def __init__(self, title: str, cluster: str) -> None:
        super().__init__(f"{title} in {cluster}")
        self.incident = Incident(open_cluster(cluster), requester())

    def so_far(self, state: RunState) -> Report:
        return self.report or incident_report(self.title, self.incident, state)


@contextmanager
def incident(title: str, cluster: str) -> Iterator[IncidentRecord]:
    """The record of a command; what the command does is given to `act`."""
    with IncidentRecord(title, cluster) as record:
        yield record


def act(record: IncidentRecord, work: Callable[[Incident, Steps, Record], None]) -> None:
    """Carry it out, each step a task."""
    work(record.incident, AsTasks(), record)


def logs(record: IncidentRecord, lines: int, pod: str, follow_seconds: int) -> None:
    """The last lines of the pods, and what they write meanwhile, in the run's log and in its record."""
    progress, text = logged_progress(), deque[str](maxlen=1000)
    if follow_seconds:
        for line in record.incident.follow(lines, pod, follow_seconds):
            progress(line)
            text.append(line)
    else:
        text.extend(record.incident.logs(lines, pod))
    table = Table("Log", ("line",), tuple((line,) for line in text))
    remarks = tuple(record.incident.remarks)
    record.report = Report(record.title, f"{len(text)} lines.", tables=(table,), next_steps=remarks)


def top(record: IncidentRecord) -> None:
    record.report = load_report(record.incident.deployment, record.incident.top())


def show_history(record: IncidentRecord) -> None:
    found, connection = history(record.incident.connection), record.incident.connection
    record.report = history_report(record.incident.deployment, connection.name, found.rows, found.releases)


def backup_of(cluster: str) -> str:
    """The source that holds the application's database.

    Raises:
        ConfigurationError: none is configured.
    """
    found = open_cluster(cluster).settings.backup
    if not found:
        raise ConfigurationError(
            f"The cluster {cluster} names no source to back up: add `backup` to [clusters.{cluster}]."
        )
    return found
