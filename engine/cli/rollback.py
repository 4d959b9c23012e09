"""platformctl rollback"""

from __future__ import annotations

import click

from engine.cli.approval import approve_option
from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.cli.release_options import carry_out


@click.command(
    help="""Go back to the last good release: its images and its configuration, from what is on the host.

    Databases stay as they are; across a migration that is marked as breaking it is refused, and
    rollback-db is the way.

    \b
    Example:
      platformctl rollback
    """,
)
@platform_option
@approve_option
@operation
def command(invocation: Invocation, platform: str | None, approve: str | None) -> Outcome:
    return carry_out(invocation, platform, "rollback", {}, approve)
