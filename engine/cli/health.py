"""platformctl health"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.cli.state_result import state_outcome
from engine.operations.platform_state import look


@click.command(
    help="""Ask every service itself and every route through nginx. Ends with 1 when one is not well.

    \b
    Example:
      platformctl health
    """,
)
@platform_option
@operation
def command(invocation: Invocation, platform: str | None) -> Outcome:
    return state_outcome("health", look(invocation.platform(platform), probe=True))
