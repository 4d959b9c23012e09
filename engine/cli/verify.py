"""platformctl verify"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from engine.cli.completing import sets
from engine.cli.invocation import Invocation, operation, source_option, store_option
from engine.cli.kind_options import OneOfAKind, Wanted, called, of_kinds, one_of
from engine.cli.outcome import Outcome, Problem
from engine.cli.selection import find_set
from engine.errors import ConfigurationError, CouldNotVerify, OperationFailed
from engine.progress import Throttled
from engine.reports.verify import verify_report, verify_sentence
from engine.repository.verify import VerifyRun, verify_and_record, verify_stored, worst
from engine.repository.verify_set import VerifyResult

_GIB = 2**30


@click.command(
    cls=OneOfAKind,
    help="""Read stored sets again and compare every file with the manifest, size and SHA-256.

    Without SET, the sets that were verified least recently are read, in each store, until the budget
    is used up (one set at least). Ends with 1 when a set failed, with 3 when one could not be judged.

    \b
    Example:
      platformctl verify newest
      platformctl verify --budget-gib 50
    """,
)
@click.argument("chosen", metavar="[SET]...", nargs=-1, shell_complete=sets)
@source_option("Only sets of this source.")
@store_option("Only this store.")
@click.option(
    "--budget-gib",
    type=click.FloatRange(min=0, max=10**9),
    default=100.0,
    show_default=True,
    help="How much to read, in each store.",
)
@operation
@of_kinds
def command(
    invocation: Invocation,
    chosen: tuple[str, ...],
    source: str | None,
    store: str | None,
    budget_gib: float,
    wanted: Sequence[Wanted],
) -> Outcome:
    if math.isnan(budget_gib):
        raise ConfigurationError("--budget-gib nan is no amount; give a number of GiB.")
    thing = one_of(wanted)
    if chosen:
        reports = tuple(_named(invocation, chosen, source, thing, store))
        run = VerifyRun(worst(reports), reports, sum(one.read for one in reports), 0)
    else:
        run = _least_recent(invocation, source, thing, store, int(budget_gib * _GIB))
    return Outcome("verify", _result(run), verify_report(run), problem=_problem(run))


def _named(
    invocation: Invocation, chosen: Sequence[str], source: str | None, wanted: Wanted | None, store: str | None
) -> Iterator[VerifyResult]:
    sets = [find_set(invocation, one, source=source, store=store, wanted=wanted) for one in chosen]
    for found in sets:
        invocation.progress(f"verify {found.set.key}")
        progress = Throttled(invocation.progress)
        yield verify_and_record(found.repository, found.set.key, datetime.now(UTC), progress)


def _least_recent(
    invocation: Invocation, source: str | None, wanted: Wanted | None, store: str | None, byte_budget: int
) -> VerifyRun:
    runs = []
    for name in invocation.stores(store, source):
        invocation.progress(f"verify what is in {name}")
        progress = Throttled(invocation.progress)
        runs.append(
            verify_stored(invocation.repository(name), datetime.now(UTC), byte_budget, source, progress, wanted=wanted)
        )
    reports = tuple(report for run in runs for report in run.reports)
    where = tuple(address for run in runs for address in run.where)
    if wanted and not reports:
        raise ConfigurationError(
            f"There is no set of {called(*wanted)} in {' or '.join(where)}; `list` shows those that are stored."
        )
    return VerifyRun(worst(reports), reports, sum(run.read for run in runs), sum(run.left for run in runs), where)


def _problem(run: VerifyRun) -> Problem | None:
    if run.result == "passed":
        return None
    kind = OperationFailed if run.result == "failed" else CouldNotVerify
    return Problem(kind.exit_code, kind.__name__, verify_sentence(run))


def _result(run: VerifyRun) -> dict[str, Any]:
    return {
        "result": run.result,
        "bytes_read": run.read,
        "sets_left": run.left,
        "sets": [
            {
                "key": str(report.key),
                "result": report.result,
                "sentence": report.sentence,
                "bytes_read": report.read,
                "seconds": round(report.seconds, 3),
                "files": len(report.checks),
                "not_equal": [asdict(check) for check in report.checks if not check.is_well],
                "verdict": report.verdict,
            }
            for report in run.reports
        ],
    }
