"""platformctl drill"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, operation, server_option, store_option
from engine.cli.outcome import Outcome, Problem
from engine.cli.selection import find_set
from engine.errors import CouldNotVerify, OperationFailed
from engine.postgres.course import DrillReport
from engine.postgres.drill import drill
from engine.reports.drill import drill_report, past_drills
from engine.sets.lease import drilling


@click.command(
    help="""Restore a set into a scratch server and compare it with the proof taken at the backup.

    Touches nothing that is live; the scratch server listens to nobody and is removed. Needs the
    private key when the set is encrypted. Ends with 1 when the set is bad, with 3 when nothing
    could be shown; a set whose proof is a sample (proof_sample_percent) is called sampled, ends with
    0 when nothing differs, and is not proven. SET: as in `platformctl show`.

    \b
    Example:
      platformctl drill newest --database kohub
    """
)
@click.argument("chosen", metavar="[SET]", default="newest")
@server_option("Whose set; may be left out when there is one only.")
@click.option("--database", metavar="NAME", help="A set of this database; else of the whole cluster.")
@store_option("Where the set is; else the server's own store.")
@operation
def command(
    invocation: Invocation, chosen: str, server: str | None, database: str | None, store: str | None
) -> Outcome:
    found = find_set(invocation, chosen, server=server, store=store, database=database)
    key = found.set.key
    trend = past_drills(found.target, found.catalogue.verdicts, key.server, str(key))
    with drilling(found.target.store, key, "platformctl drill"):
        report = drill(found.target, key, invocation.progress, _docker_host(invocation, key.server))
    result = report.model_dump(mode="json")
    return Outcome("drill", result, drill_report(report, trend), problem=_problem(report))


def _docker_host(invocation: Invocation, server: str) -> str:
    """The container engine of the set's server, when that is configured here."""
    settings = invocation.settings.servers.get(server)
    return settings.docker_host if settings else ""


def _problem(report: DrillReport) -> Problem | None:
    if report.result in ("passed", "sampled"):
        return None
    kind = OperationFailed if report.result == "failed" else CouldNotVerify
    return Problem(kind.exit_code, kind.__name__, report.sentence)
