"""platformctl k8s top"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.k8s.running import incident_of
from engine.cli.outcome import Outcome
from engine.reports.cluster_work import load_report


@click.command(
    help="""Show what each pod uses of CPU and memory, and of its limits; the heaviest first.

    \b
    Example:
      platformctl k8s top
    """,
)
@cluster_option
@operation
def command(invocation: Invocation, cluster: str | None) -> Outcome:
    incident = incident_of(invocation, cluster, "top")
    found = incident.top()
    rows = [{"pod": e.pod, "cores": e.cores, "memory": e.memory, "restarts": e.restarts} for e in found]
    return Outcome("k8s top", {"pods": rows}, load_report(incident.deployment, found))
