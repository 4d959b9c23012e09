"""platformctl k8s migrate"""

from __future__ import annotations

import click

from engine.cli.approval import owner
from engine.cli.invocation import Invocation, cluster_option, operation
from engine.cli.outcome import Outcome
from engine.errors import ConfigurationError
from engine.operations.cluster_migration import MigrationRun, Way, migrate_alone
from engine.reports.cluster_work import migration_report
from engine.steps import InShell


@click.command(
    help="""Run the SQL migrations (NNN_name.up.sql) that the database lacks; or some down, or to a version.

    The password comes from AWS Secrets Manager (kerp/ENVIRONMENT/db-password). The table schema_migrations
    and the lock are golang-migrate's own. One that failed leaves the database dirty, and nothing more is run until
    somebody has looked and said with --force which version it has.

    \b
    Example:
      platformctl k8s migrate
      platformctl k8s migrate --down 1
      platformctl k8s migrate --to 12
    """,
)
@click.option("--down", type=click.IntRange(1), metavar="N", help="Go back so many.")
@click.option(
    "--to", type=click.IntRange(0), metavar="VERSION", help="Up or down to this version; 0 is before the first."
)
@click.option("--force", type=click.IntRange(0), metavar="VERSION", help="Run nothing; the database has this version.")
@click.option("--status", is_flag=True, help="Run nothing; show which version the database has.")
@cluster_option
@operation
def command(
    invocation: Invocation, down: int | None, to: int | None, force: int | None, status: bool, cluster: str | None
) -> Outcome:
    ways: list[tuple[Way, int | None]] = [("down", down), ("to", to), ("force", force)]
    given: list[tuple[Way, int | None]] = [each for each in ways if each[1] is not None]
    given += [("status", None)] if status else []
    if len(given) > 1:
        raise ConfigurationError("Give one of --down, --to, --force and --status.")
    way, number = (given or [("up", None)])[0]
    connection = invocation.cluster(cluster)
    run = MigrationRun(connection.name, connection.settings, way, number)
    migrate_alone(connection, owner("k8s migrate"), run, InShell(invocation.progress))
    result = {"before": run.before.version, "after": run.after.version, "dirty": run.after.dirty, "ran": run.ran}
    return Outcome("k8s migrate", result, migration_report(run))
