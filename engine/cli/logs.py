"""platformctl logs"""

from __future__ import annotations

import sys

import click

from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.operations.platform_state import logs


@click.command(
    help="""Show the last lines of a service, or follow them until Ctrl-C.

    \b
    Example:
      platformctl logs kohub-backend
      platformctl logs nginx --lines 500
      platformctl logs kohub-backend --follow
    """,
)
@click.argument("service")
@click.option("--lines", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on until it is ended.")
@platform_option
@operation
def command(invocation: Invocation, service: str, lines: int, follow: bool, platform: str | None) -> Outcome:
    text = []
    for line in logs(invocation.platform(platform), service, lines, follow=follow):
        if follow:
            sys.stdout.write(line)
            sys.stdout.flush()
        else:
            text.append(line)
    return Outcome("logs", {"service": service, "lines": text}, text="".join(text))
