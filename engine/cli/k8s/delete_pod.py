"""platformctl k8s delete-pod"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.k8s.running import incident_of, incident_outcome
from engine.cli.outcome import Outcome
from engine.steps import InShell


@click.command(
    help="""Delete one pod of the application and wait for the one that takes its place.

    \b
    Example:
      platformctl k8s delete-pod kerp-api-5d8f7c9b4-x2x7q
    """,
)
@click.argument("pod")
@cluster_option
@operation
def command(invocation: Invocation, pod: str, cluster: str | None) -> Outcome:
    incident = incident_of(invocation, cluster, "delete-pod")
    incident.delete_pod(pod, InShell(invocation.progress))
    return incident_outcome("delete-pod", incident)
