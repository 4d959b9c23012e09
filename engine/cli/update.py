"""platformctl update"""

from __future__ import annotations

import click

from engine.cli.approval import approve_option
from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.cli.release_options import carry_out
from engine.releases.versions import versions_of


@click.command(
    help="""Bring one service to another version; everything else stays as the release that runs has it.

    \b
    Example:
      platformctl update kohub-backend=1.4.3
    """,
)
@click.argument("version", metavar="SERVICE=VERSION")
@platform_option
@approve_option
@operation
def command(invocation: Invocation, version: str, platform: str | None, approve: str | None) -> Outcome:
    return carry_out(invocation, platform, "update", versions_of([version]), approve)
