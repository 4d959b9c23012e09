"""platformctl backup"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, source_option
from engine.cli.kind_options import SomeOfAKind, Wanted, of_kinds
from engine.cli.outcome import Outcome, problem_of
from engine.operations.backup import BackupRun
from engine.operations.backup_result import BackupResult
from engine.reports.backup import backup_report, plan_report
from engine.repository.copies import CopyRun
from engine.sources.item import StoredItem
from engine.steps import InShell


@click.command(
    cls=SomeOfAKind,
    help="""Back up a source, prove what was read, and let old sets go.

    Of a PostgreSQL server each database is read once, in one snapshot. All of them together become one
    cluster set (plain SQL with the roles, in restore order) and each becomes a set of its own. Where
    only some things are named, each is stored as its own set, and there is no set of the whole.

    \b
    Example:
      platformctl backup --source platform
      platformctl backup --database kohub --database keycloak
      platformctl backup --source rds --dry-run
    """,
)
@source_option("What to back up; may be left out when there is one only.")
@click.option("--no-prune", is_flag=True, help="Let no old set go afterwards.")
@click.option("--dry-run", is_flag=True, help="Say what would be stored, lack something or fail, and do nothing.")
@operation
@of_kinds
def command(
    invocation: Invocation, source: str | None, no_prune: bool, dry_run: bool, wanted: Sequence[Wanted]
) -> Outcome:
    run = BackupRun(
        invocation.source(source),
        invocation.repository,
        token=secrets.token_hex(8),
        label="platformctl backup",
        wanted=wanted,
        retain=not no_prune,
    )
    if dry_run:
        return _planned(run, InShell(invocation.progress))
    run.carry_out(InShell(invocation.progress))
    problem = run.problem()
    return Outcome(
        "backup", _result(run.result), backup_report(run.result), problem=problem_of(problem) if problem else None
    )


def _planned(run: BackupRun, steps: InShell) -> Outcome:
    todo, forecast = run.look(steps)
    problem = run.problem()
    document = {
        **_result(run.result),
        "planned": [{"kind": one.kind, "name": one.name, "bytes": one.size} for one in todo],
        "missing": list(forecast.lacks),
    }
    report = plan_report(run.result, todo, forecast.lacks)
    return Outcome("backup", document, report, problem=problem_of(problem) if problem else None)


def _copy(run: CopyRun) -> dict[str, Any]:
    return {
        "store": run.store,
        "copied": [str(report.key) for report in run.copied if report.files],
        "bytes": run.bytes,
        "lacking": [str(key) for key in run.lacking],
        "pruned": [str(key) for key in run.pruned.deleted] if run.pruned else [],
        "problem": run.problem or None,
    }


def _stored(one: StoredItem) -> dict[str, Any]:
    return {
        "kind": one.key.kind,
        "name": one.key.name,
        "set_key": str(one.key),
        "bytes": one.body.size,
        "files": len(one.body.files),
        "seconds": round(one.seconds, 3),
        "missing": one.body.missing,
        "facts": one.facts.model_dump(mode="json"),
    }


def _result(result: BackupResult) -> dict[str, Any]:
    pruned, closed = result.pruned, result.closed
    return {
        "source": result.source,
        "store": result.store,
        "encrypted": result.encrypted,
        "seconds": round(result.seconds, 3),
        "stored_bytes": result.stored_bytes,
        "whole": _stored(closed) if closed else None,
        "stored": [_stored(one) for one in result.stored if one is not closed],
        "unchanged": [
            {"kind": item.kind, "name": item.name, "set_key": str(one.since)} for item, one in result.unchanged
        ],
        "skipped": [{"kind": one.kind, "name": one.name, "why": one.skipped} for one in result.found if one.skipped],
        "failed": [{"kind": item.kind, "name": item.name, "sentence": str(error)} for item, error in result.failures],
        "missing": result.missing,
        "remarks": list(result.remarks),
        "pruned": [str(key) for key in pruned.deleted] if pruned else [],
        "copies": [_copy(run) for run in result.copies],
        "pruning_refused": result.prune_failure or (result.plan.doubt if result.plan else None),
    }
