"""platformctl stop"""

from __future__ import annotations

import click

from engine.cli.approval import owner
from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.operations.platform_state import stop
from engine.steps import InShell


@click.command(
    help="""Stop a platform in the opposite order; containers and volumes stay.

    \b
    Example:
      platformctl stop uptime-kuma
      platformctl stop --platform prod --confirm prod
    """,
)
@click.argument("services", metavar="[SERVICE]...", nargs=-1)
@platform_option
@click.option(
    "--confirm",
    "confirmed",
    default="",
    metavar="NAME",
    help="To stop all of a platform that needs approval: its name.",
)
@operation
def command(invocation: Invocation, services: tuple[str, ...], platform: str | None, confirmed: str) -> Outcome:
    opened = invocation.platform(platform)
    stop(opened, owner("stop"), services, confirmed, InShell(invocation.progress))
    what = ", ".join(services) or opened.name
    return Outcome("stop", {"platform": opened.name, "services": list(services)}, text=f"Stopped {what}.\n")
