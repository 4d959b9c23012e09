"""platformctl check"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, server_option
from engine.cli.outcome import Outcome, Problem
from engine.errors import ConfigurationError, OperationFailed
from engine.reports.freshness import freshness_report, overdue_sentence
from engine.sets.freshness import MAX_AGE_HOURS, Freshness, freshness


@click.command(
    help="""Say whether each server was recorded, verified and proven of late; exit code 1 when not.

    Only names in the stores are read: quick, and for a monitor to call. A further copy is asked
    whether it is recorded and verified.

    \b
    Example:
      platformctl check
      platformctl check --server platform --max-hours 26
    """
)
@server_option("Only this server.")
@click.option(
    "--max-hours",
    type=click.FloatRange(min=0, min_open=True, max=8760),
    default=MAX_AGE_HOURS,
    show_default=True,
    help="How long ago each may be.",
)
@operation
def command(invocation: Invocation, server: str | None, max_hours: float) -> Outcome:
    if math.isnan(max_hours):
        raise ConfigurationError("--max-hours nan is no time; give a number of hours.")
    now = datetime.now(UTC)
    found: list[Freshness] = []
    for name in [server] if server else invocation.settings.servers:
        stores = invocation.stores(None, name)
        stored = {store: invocation.target(store).catalogue(name) for store in stores}
        found += freshness(name, stored, now, max_hours)
    problem = overdue_sentence(found, now, max_hours)
    return Outcome(
        "check",
        {"max_hours": max_hours, "servers": [_document(one, now) for one in found]},
        freshness_report(found, now, max_hours),
        problem=Problem(OperationFailed.exit_code, OperationFailed.__name__, problem) if problem else None,
    )


def _document(one: Freshness, now: datetime) -> dict[str, Any]:
    return {
        "server": one.server,
        "store": one.store,
        "what": one.word,
        "last": one.at and one.at.isoformat(),
        "age_seconds": one.at and round((now - one.at).total_seconds()),
        "fresh": one.fresh,
    }
