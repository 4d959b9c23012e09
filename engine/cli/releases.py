"""platformctl releases"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.releases import records
from engine.reports.release import releases_report


@click.command(
    help="""List the releases on the host, newest first: which one runs, their versions, who made them.

    \b
    Example:
      platformctl releases
    """,
)
@platform_option
@operation
def command(invocation: Invocation, platform: str | None) -> Outcome:
    opened = invocation.platform(platform)
    found, current = records.releases(opened.site), records.current(opened.site)
    running = current.id if current else ""
    return Outcome(
        "releases",
        {"current": running or None, "releases": [each.model_dump(mode="json") for each in found]},
        releases_report(opened.name, found, running),
    )
