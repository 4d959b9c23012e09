"""platformctl plan"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.cli.release_options import release_run
from engine.errors import ConfigurationError
from engine.operations.planning import EVERYTHING
from engine.releases.versions import versions_of
from engine.reports.release import plan_report
from engine.steps import InShell

OPERATIONS = ("deploy", "update", "rollback", "restart")


@click.command(
    help="""Show what a deploy would change, and why: images, configuration, variables, secrets (as changed or not), volumes.

    Its hash is what --approve of the same command takes, as long as nothing moves. Images that are missing are
    fetched, so that their digests are known; nothing that runs is touched.

    \b
    Example:
      platformctl plan
      platformctl plan kohub-backend=1.4.2
      platformctl plan --for rollback
    """,
)
@click.argument("words", metavar="[SERVICE=VERSION]...", nargs=-1)
@click.option(
    "--for",
    "planned",
    type=click.Choice(OPERATIONS),
    default="deploy",
    show_default=True,
    help="Of which command. A restart is given services without versions, a rollback nothing.",
)
@platform_option
@operation
def command(invocation: Invocation, words: tuple[str, ...], planned: str, platform: str | None) -> Outcome:
    if planned == "rollback" and words:
        raise ConfigurationError("A rollback goes to the last good release; name no versions.")
    versions = dict.fromkeys(words or (EVERYTHING,), "") if planned == "restart" else versions_of(words)
    if planned == "update" and len(versions) != 1:
        raise ConfigurationError("An update is of one service; give one SERVICE=VERSION.")
    run = release_run(invocation, platform, planned, versions, command="plan")
    run.only_plan(InShell(invocation.progress))
    assert run.plan is not None  # noqa: S101 - a plan was made, or it raised
    return Outcome("plan", run.plan.model_dump(mode="json") | {"hash": run.plan.hash}, plan_report(run.plan))
