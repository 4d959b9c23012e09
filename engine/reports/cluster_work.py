"""The reports of what is done to an application beside releases: migrations, jobs, its load, incident commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.kubernetes.load import PodLoad
from engine.progress import counted, readable_bytes
from engine.reports.release import step_row
from engine.run_state import ENDED_WELL, RunState
from engine.words.report import Report, Table
from engine.words.run_report import going_step

if TYPE_CHECKING:
    from engine.operations.cluster_incident import Incident
    from engine.operations.cluster_job import JobRun
    from engine.operations.cluster_migration import MigrationRun
    from engine.operations.timings import Timings


def steps_table(timings: Timings) -> Table:
    return Table("Steps", ("step", "time", "state"), tuple(step_row(each) for each in timings), right=("time",))


def migration_report(run: MigrationRun, state: RunState = ENDED_WELL) -> Report:
    """Which migrations were run, and where the database is."""
    after = "before the first" if run.after.version is None else f"at version {run.after.version}"
    sentence = f"{counted(len(run.ran), 'migration')} run; the database is {after}."
    if run.after.dirty:
        sentence = f"The database is dirty at version {run.after.version}: a migration failed or was cut off."
    if state.problem:
        sentence = f"Failed: {state.problem}"
    elif state.going:
        sentence = "Going on."
    before = "none" if run.before.version is None else str(run.before.version)
    return Report(
        f"Migration of {run.name}",
        sentence,
        facts=(("environment", run.cluster.environment), ("version before", before), ("asked for", run.way)),
        tables=(steps_table(run.timings),),
        next_steps=(going_step(),) if state.going else (),
    )


def job_report(run: JobRun, state: RunState = ENDED_WELL) -> Report:
    """What a job did, and its last lines."""
    sentence = f"{run.job or run.cron_job} ended well. {run.found}".strip()
    if state.problem:
        sentence = f"Failed: {state.problem}"
    elif state.going:
        sentence = f"Going on: {run.timings[-1][0]}." if run.timings else "Going on."
    return Report(
        f"{run.cron_job} in {run.connection.name}",
        sentence,
        facts=(("job", run.job or "-"), ("for", run.period or "now"), ("image", run.image or "-")),
        tables=(
            steps_table(run.timings),
            Table("Why it failed: containers", ("container", "state", "what it says"), run.evidence.states),
            Table("Why it failed: events", ("object", "reason", "message"), run.evidence.events),
            Table("The last lines of its log", ("line",), tuple((line,) for line in run.lines)),
        ),
        next_steps=(going_step(),) if state.going else (),
    )


def incident_report(title: str, incident: Incident, state: RunState = ENDED_WELL) -> Report:
    """What a command did."""
    sentence, evidence = incident.outcome or "Done.", incident.evidence
    if state.problem:
        sentence = f"Failed: {state.problem}"
    elif state.going:
        sentence = f"Going on: {incident.timings[-1][0]}." if incident.timings else "Going on."
    return Report(
        title,
        sentence,
        facts=(("started by", incident.owner), ("namespace", incident.connection.namespace)),
        tables=(
            steps_table(incident.timings),
            Table("Why it failed: containers", ("container", "state", "what it says"), evidence.states),
            Table("Why it failed: events", ("object", "reason", "message"), evidence.events),
            Table("Why it failed: the last lines of the log", ("line",), tuple((line,) for line in evidence.lines)),
        ),
        next_steps=(*incident.remarks, *((going_step(),) if state.going else ())),
    )


def load_report(deployment: str, found: Sequence[PodLoad]) -> Report:
    """What each pod uses."""
    rows = tuple(
        (
            each.pod,
            f"{each.cores * 1000:.0f}m",
            _share(each.cores, each.cores_limit),
            readable_bytes(each.memory),
            _share(each.memory, each.memory_limit),
            str(each.restarts),
        )
        for each in found
    )
    header = ("pod", "CPU", "of its limit", "memory", "of its limit ", "restarts")
    sentence = (
        f"{counted(len(rows), 'pod')} measured." if rows else "Nothing was measured yet; a new pod takes a minute."
    )
    return Report(f"Load of {deployment}", sentence, tables=(Table("", header, rows, right=header[1:]),))


def _share(used: float, limit: float) -> str:
    return f"{100 * used / limit:.0f} %" if limit else "no limit"
