"""platformctl resume"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.cli.release_options import outcome, release_run
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
    run = release_run(invocation, platform, "resume")
    run.resume(InShell(invocation.progress))
    return outcome(run, "resume")
