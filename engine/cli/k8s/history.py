"""platformctl k8s history"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.outcome import Outcome
from engine.operations.cluster_history import history
from engine.reports.cluster import history_report


@click.command(
    help="""List the revisions that a rollback can go to, with their images, and the releases with who made them.

    \b
    Example:
      platformctl k8s history
    """,
)
@cluster_option
@operation
def command(invocation: Invocation, cluster: str | None) -> Outcome:
    connection = invocation.cluster(cluster)
    found = history(connection)
    result = {
        "revisions": [
            {"revision": row[0], "images": row[1], "made": row[2], "pods": row[3], "by": row[4]} for row in found.rows
        ],
        "releases": [each.model_dump(mode="json", exclude={"configs"}) for each in found.releases],
    }
    report = history_report(connection.settings.deployment, connection.name, found.rows, found.releases)
    return Outcome("k8s history", result, report)
