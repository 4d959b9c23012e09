"""platformctl k8s restart"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.k8s.running import incident_of, incident_outcome
from engine.cli.outcome import Outcome
from engine.steps import InShell


@click.command(
    help="""Start all pods anew, one after another, so that none is missing meanwhile; what fails is put back.

    \b
    Example:
      platformctl k8s restart
    """,
)
@cluster_option
@operation
def command(invocation: Invocation, cluster: str | None) -> Outcome:
    incident = incident_of(invocation, cluster, "restart")
    incident.restart(InShell(invocation.progress))
    return incident_outcome("restart", incident)
