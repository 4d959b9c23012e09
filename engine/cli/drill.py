"""platformctl drill"""

from __future__ import annotations

from collections.abc import Sequence

import click

from engine.cli.completing import sets
from engine.cli.invocation import Invocation, operation, source_option, store_option
from engine.cli.kind_options import OneOfAKind, Wanted, of_kinds, one_of
from engine.cli.outcome import Outcome, Problem
from engine.cli.selection import find_set
from engine.errors import CouldNotVerify, OperationFailed
from engine.hosts.settings import HostSettings
from engine.operations.drill import drill_set
from engine.reports.drill import drill_report
from engine.repository.findings import DrillResult
from engine.repository.past_drills import past_drills


@click.command(
    cls=OneOfAKind,
    help="""Restore a set into something nobody reaches and compare it with the proof of the backup.

    Touches nothing that is live; the scratch server of a database listens to nobody and is removed. Needs the
    private key when the set is encrypted. Ends with 1 when the set is bad, with 3 when nothing
    could be shown; a set whose proof is a sample (proof_sample_percent) is called sampled, ends with
    0 when nothing differs, and is not proven. SET: as in `platformctl show`.

    \b
    Example:
      platformctl drill newest --database kohub
    """,
)
@click.argument("chosen", metavar="[SET]", default="newest", shell_complete=sets)
@source_option("Whose set; may be left out when there is one only.")
@store_option("Where the set is; else the source's own store.")
@operation
@of_kinds
def command(
    invocation: Invocation, chosen: str, source: str | None, store: str | None, wanted: Sequence[Wanted]
) -> Outcome:
    found = find_set(invocation, chosen, source=source, store=store, wanted=one_of(wanted))
    repository, key = found.repository, found.set.key
    trend = past_drills(repository, found.catalogue.verdicts, key.asset)
    result = drill_set(repository, key, "platformctl drill", invocation.progress, _host(invocation, key.source))
    return Outcome("drill", result.model_dump(mode="json"), drill_report(result, trend), problem=_problem(result))


def _host(invocation: Invocation, source: str) -> HostSettings | None:
    """Where the set's source runs, when that is configured here."""
    settings = invocation.settings.sources.get(source)
    return invocation.settings.host_of(settings) if settings else None


def _problem(result: DrillResult) -> Problem | None:
    if result.result in ("passed", "sampled"):
        return None
    kind = OperationFailed if result.result == "failed" else CouldNotVerify
    return Problem(kind.exit_code, kind.__name__, result.sentence)
