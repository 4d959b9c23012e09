"""platformctl plan"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.cli.release_options import owner, versions_of
from engine.operations.release import ReleaseRun
from engine.reports.release import plan_report
from engine.sources import registry
from engine.steps import InShell


@click.command(
    help="""Show what a deploy would change, and why: images, configuration, variables, secrets (as changed or not), volumes.

    Images that are missing are fetched, so that their digests are known; nothing that runs is touched.

    \b
    Example:
      platformctl plan
      platformctl plan kohub-backend=1.4.2
    """,
)
@click.argument("versions", metavar="[SERVICE=VERSION]...", nargs=-1)
@platform_option
@operation
def command(invocation: Invocation, versions: tuple[str, ...], platform: str | None) -> Outcome:
    run = ReleaseRun(
        invocation.platform(platform),
        "deploy",
        owner(invocation, "plan"),
        lambda plan: "",
        invocation.repository,
        lambda name: registry.open_source(invocation.settings, name),
        versions_of(versions),
    )
    run.only_plan(InShell(invocation.progress))
    assert run.plan is not None  # noqa: S101 - a plan was made, or it raised
    return Outcome("plan", run.plan.model_dump(mode="json") | {"hash": run.plan.hash}, plan_report(run.plan))
