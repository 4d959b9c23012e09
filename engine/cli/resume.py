"""platformctl resume"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.cli.release_options import outcome, owner
from engine.operations.release import ReleaseRun
from engine.sources import registry
from engine.steps import InShell


@click.command(
    help="""Finish or revert a change of a platform that was cut off (killed, or its host went down).

    What had been accepted is finished, everything else is reverted. The next deploy does the same by itself.

    \b
    Example:
      platformctl resume
    """,
)
@platform_option
@operation
def command(invocation: Invocation, platform: str | None) -> Outcome:
    run = ReleaseRun(
        invocation.platform(platform),
        "resume",
        owner(invocation, "resume"),
        lambda plan: "",
        invocation.repository,
        lambda name: registry.open_source(invocation.settings, name),
    )
    run.resume(InShell(invocation.progress))
    return outcome(run, "resume")
