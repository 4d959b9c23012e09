"""platformctl k8s logs"""

from __future__ import annotations

import sys

import click

from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.k8s.running import incident_of
from engine.cli.outcome import Outcome


@click.command(
    help="""Show the last lines of all pods, or of one; or follow them until Ctrl-C.

    \b
    Example:
      platformctl k8s logs
      platformctl k8s logs --follow
    """,
)
@click.option("--pod", default="", help="Only this one.")
@click.option("--lines", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many of each pod.")
@click.option("--follow", "-f", is_flag=True, help="Go on until it is ended.")
@cluster_option
@operation
def command(invocation: Invocation, pod: str, lines: int, follow: bool, cluster: str | None) -> Outcome:
    incident = incident_of(invocation, cluster, "logs")
    text = []
    if follow:
        for line in incident.follow(lines, pod):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    else:
        text = incident.logs(lines, pod)
    shown = [*text, *incident.remarks]
    result = {"lines": text, "remarks": incident.remarks}
    return Outcome("k8s logs", result, text="".join(f"{line}\n" for line in shown))
