"""platformctl rollback-db"""

from __future__ import annotations

from collections.abc import Sequence

import click

from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome, problem_of
from engine.cli.release_options import release_run
from engine.errors import PlatformOpsError
from engine.operations.database_rollback import DatabaseRollback
from engine.reports.release import database_rollback_report
from engine.run_state import RunState
from engine.sources.postgres.opening import configured_server
from engine.sources.postgres.restore.operation import RestoreRun
from engine.steps import InShell


@click.command(
    help="""Go back with the databases: restore the sets that were taken before the release, then its predecessor's images.

    The services that use the databases are stopped meanwhile. Each database comes back beside the live one, is
    compared with its proof, and takes its name; the live one is kept under another. --confirm repeats the name
    of every database that is replaced. What was written since the release is in the kept one only.

    \b
    Example:
      platformctl rollback-db --confirm kohub --confirm kusthub
    """,
)
@click.option("--database", "databases", multiple=True, metavar="NAME", help="Only this one (repeatable).")
@click.option("--confirm", "confirmed", multiple=True, metavar="NAME", help="A live database to be replaced.")
@platform_option
@operation
def command(
    invocation: Invocation, databases: tuple[str, ...], confirmed: tuple[str, ...], platform: str | None
) -> Outcome:
    images = release_run(invocation, platform, "rollback", command="rollback-db")

    def restore(source: str, set_id: str, names: Sequence[str]) -> RestoreRun:
        server = configured_server(invocation.settings, source)
        return RestoreRun(invocation.repository(server.settings.store), source, server, names, set_id, in_place=True)

    run = DatabaseRollback(images.platform, restore, images, databases)
    problem: PlatformOpsError | None = None
    try:
        run.carry_out(confirmed, "--confirm", InShell(invocation.progress))
    except PlatformOpsError as error:
        if not run.stopped:
            raise
        problem = error
    result = {
        "platform": images.platform.name,
        "release": run.release.id if run.release else None,
        "restored": list(run.restored),
        "now": images.release.id if images.release else None,
    }
    report = database_rollback_report(run, RunState(problem=str(problem) if problem else ""))
    return Outcome("rollback-db", result, report, problem=problem_of(problem) if problem else None)
