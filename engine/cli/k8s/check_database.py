"""platformctl k8s check-database"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.k8s.running import incident_of, incident_outcome
from engine.cli.outcome import Outcome
from engine.steps import InShell


@click.command(
    help="""Ask the application, inside of one of its pods, whether it reaches its database.

    \b
    Example:
      platformctl k8s check-database
    """,
)
@cluster_option
@operation
def command(invocation: Invocation, cluster: str | None) -> Outcome:
    incident = incident_of(invocation, cluster, "check-database")
    incident.check_database(InShell(invocation.progress))
    return incident_outcome("check-database", incident)
