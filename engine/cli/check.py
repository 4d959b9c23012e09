"""platformctl check"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, source_option
from engine.cli.outcome import Outcome, Problem
from engine.errors import ConfigurationError, OperationFailed
from engine.operations.check import check_source, forgotten
from engine.reports.freshness import freshness_report, overdue_sentence
from engine.repository.freshness import Freshness
from engine.sources.registry import max_age_hours


@click.command(
    help="""Say whether what is kept was recorded, verified and proven in time; exit code 1 when not.

    Each kind of set has an age of its own at which it is overdue (a server's cluster set: 26 hours).
    While the newest set has failed it is red, whatever passed before. A server is proven when its cluster
    set is, or every database of it. Only names in the stores are read: quick, and for a monitor to call
    (an engine is asked which volumes it has that nobody declared). A further copy is asked whether it is recorded and verified.

    \b
    Example:
      platformctl check
      platformctl check --source platform --max-hours 26
    """
)
@source_option("Only this source.")
@click.option(
    "--max-hours",
    type=click.FloatRange(min=0, min_open=True, max=8760),
    help="How long ago each may be, whatever its kind.",
)
@operation
def command(invocation: Invocation, source: str | None, max_hours: float | None) -> Outcome:
    if max_hours is not None and math.isnan(max_hours):
        raise ConfigurationError("--max-hours nan is no time; give a number of hours.")
    now, settings = datetime.now(UTC), invocation.settings
    names = [source] if source else [name for name, own in settings.sources.items() if max_age_hours(own)]
    found = [
        one
        for name in names
        for one in check_source(name, settings.source(name), invocation.repository, now, max_hours)
    ]
    more = [line for name in names for line in forgotten(name, settings.source(name), invocation.source)]
    problem = overdue_sentence(found, now, more)
    return Outcome(
        "check",
        {"assets": [_document(one, now) for one in found], "forgotten": more},
        freshness_report(found, now, more),
        problem=Problem(OperationFailed.exit_code, OperationFailed.__name__, problem) if problem else None,
    )


def _document(one: Freshness, now: datetime) -> dict[str, Any]:
    return {
        "source": one.asset.source,
        "kind": one.asset.kind,
        "name": one.asset.name,
        "store": one.store,
        "what": one.word,
        "last": one.at and one.at.isoformat(),
        "age_seconds": one.at and round((now - one.at).total_seconds()),
        "max_hours": one.max_hours,
        "fresh": one.fresh,
        "newest_failed": str(one.failed) if one.failed else None,
    }
