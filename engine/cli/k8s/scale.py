"""platformctl k8s scale"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.k8s.running import incident_of, incident_outcome
from engine.cli.outcome import Outcome
from engine.steps import InShell


@click.command(
    help="""Set how many pods there are and wait until they serve. An autoscaler that would undo it is said.

    \b
    Example:
      platformctl k8s scale 10
    """,
)
@click.argument("replicas", type=click.IntRange(0, 1000))
@cluster_option
@operation
def command(invocation: Invocation, replicas: int, cluster: str | None) -> Outcome:
    incident = incident_of(invocation, cluster, "scale")
    incident.scale(replicas, InShell(invocation.progress))
    return incident_outcome("scale", incident)
