"""platformctl restart"""

from __future__ import annotations

import click

from engine.cli.approval import approve_option
from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.cli.release_options import carry_out
from engine.errors import ConfigurationError
from engine.operations.planning import EVERYTHING


@click.command(
    help="""Start services anew, in the same version: rolling ones without a pause, the others stopped first.

    \b
    Example:
      platformctl restart kohub-backend
      platformctl restart --all
    """,
)
@click.argument("services", metavar="[SERVICE]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@platform_option
@approve_option
@operation
def command(
    invocation: Invocation, services: tuple[str, ...], everything: bool, platform: str | None, approve: str | None
) -> Outcome:
    if bool(services) == everything:
        raise ConfigurationError("Say which services to start anew, or --all.")
    return carry_out(invocation, platform, "restart", dict.fromkeys(services or (EVERYTHING,), ""), approve)
