"""platformctl k8s plan"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.k8s.running import run_of
from engine.cli.outcome import Outcome
from engine.reports.cluster import cluster_plan_report
from engine.steps import InShell


@click.command(
    help="""Show what a deploy would change, value by value; values of secrets are shown as hashes.

    Without a version it is the one that runs.

    \b
    Example:
      platformctl k8s plan 1a2b3c4d-20260101120000
    """,
)
@click.argument("version", required=False, default="")
@cluster_option
@operation
def command(invocation: Invocation, version: str, cluster: str | None) -> Outcome:
    run = run_of(invocation, cluster, "deploy", version=version)
    run.only_plan(InShell(invocation.progress))
    assert run.plan is not None  # noqa: S101 - a plan was made, or it raised
    return Outcome(
        "k8s plan", run.plan.model_dump(mode="json") | {"hash": run.plan.hash}, cluster_plan_report(run.plan)
    )
