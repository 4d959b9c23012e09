"""platformctl status"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.cli.state_result import state_outcome
from engine.operations.platform_state import look


@click.command(
    help="""Show what runs: each service's version, image, since when, and its health check. Asks only Docker.

    \b
    Example:
      platformctl status
    """,
)
@platform_option
@operation
def command(invocation: Invocation, platform: str | None) -> Outcome:
    return state_outcome("status", look(invocation.platform(platform), probe=False))
