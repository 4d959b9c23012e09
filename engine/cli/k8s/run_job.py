"""platformctl k8s run-job"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.k8s.running import steps_of
from engine.cli.outcome import Outcome, problem_of
from engine.errors import PlatformOpsError
from engine.operations.cluster_job import JobRun
from engine.reports.cluster_work import job_report
from engine.run_state import RunState
from engine.steps import InShell


@click.command(
    help="""Run one of the application's jobs (a suspended CronJob) now, and wait for it.

    With --period, a job that has ended well for it is not run again, and one that runs is waited for.

    \b
    Example:
      platformctl k8s run-job log-cleanup
      platformctl k8s run-job month-end-closing --period 2026-11
    """,
)
@click.argument("name")
@click.option("--period", default="", help="What it is for, such as the month 2026-11.")
@cluster_option
@operation
def command(invocation: Invocation, name: str, period: str, cluster: str | None) -> Outcome:
    run = JobRun(invocation.cluster(cluster), name, period)
    problem: PlatformOpsError | None = None
    try:
        run.carry_out(InShell(invocation.progress))
    except PlatformOpsError as error:
        if not run.job:
            raise
        problem = error
    result = {"job": run.job, "found": run.found or None, "lines": list(run.lines), "steps": steps_of(run.timings)}
    report = job_report(run, RunState(problem=str(problem) if problem else ""))
    return Outcome("k8s run-job", result, report, problem=problem_of(problem) if problem else None)
