"""platformctl start"""

from __future__ import annotations

import click

from engine.cli.approval import owner
from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.operations.platform_state import start
from engine.steps import InShell


@click.command(
    help="""Start a platform in dependency order, and wait until each service is well.

    \b
    Example:
      platformctl start
      platformctl start uptime-kuma
    """,
)
@click.argument("services", metavar="[SERVICE]...", nargs=-1)
@platform_option
@operation
def command(invocation: Invocation, services: tuple[str, ...], platform: str | None) -> Outcome:
    opened = invocation.platform(platform)
    start(opened, owner("start"), services, InShell(invocation.progress))
    what = ", ".join(services) or opened.name
    return Outcome("start", {"platform": opened.name, "services": list(services)}, text=f"Started {what}.\n")
