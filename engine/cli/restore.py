"""platformctl restore"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, server_option, store_option
from engine.cli.outcome import Outcome, problem_of
from engine.cli.selection import server_meant
from engine.errors import ConfigurationError, PlatformOpsError, failed_in_part
from engine.postgres.restore import RestoreChoice, RestoredDatabase, choose, live_among, restore_databases
from engine.postgres.server import Server
from engine.reports.restore import plan_report, restore_report
from engine.sets.target import Target


@click.command(
    help="""Restore databases into a live server; each gets its name only when it equals its proof.

    By default a database comes back beside the live one, as <name>_restored_<time>. With --in-place
    it takes the live one's name, and the live one is kept under another; --confirm has to repeat
    the name of every database that is replaced. An empty server needs none. SET: as in
    `platformctl show`.

    \b
    Example:
      platformctl restore --database kohub
      platformctl restore --database kohub --set newest-proven --in-place --confirm kohub
      platformctl restore --all --in-place --dry-run
    """
)
@click.option("--database", "databases", multiple=True, metavar="NAME", help="This database (repeatable).")
@click.option("--all", "everything", is_flag=True, help="All databases of the newest cluster set (or SET).")
@click.option("--set", "chosen", metavar="SET", default="newest", show_default=True, help="From this set.")
@server_option("Whose sets; may be left out when there is one only.")
@click.option("--to", metavar="NAME", help="The server to restore into, when it is another one.")
@store_option("Where the sets are; else the server's own store.")
@click.option("--in-place", is_flag=True, help="Under their own names; a live one is kept under another.")
@click.option("--confirm", "confirmed", multiple=True, metavar="NAME", help="A live database to be replaced.")
@click.option("--dry-run", is_flag=True, help="Show the plan, and do nothing.")
@operation
def command(
    invocation: Invocation,
    databases: tuple[str, ...],
    everything: bool,
    chosen: str,
    server: str | None,
    to: str | None,
    store: str | None,
    in_place: bool,
    confirmed: tuple[str, ...],
    dry_run: bool,
) -> Outcome:
    _check(databases, everything, in_place, confirmed)
    source = invocation.server(server_meant(chosen, server))
    destination = invocation.server(to or source.name)
    target = invocation.target(store or source.settings.store)
    stored = target.catalogue(source.name)
    choices = choose(stored, target, source.name, databases, chosen)
    live = live_among(destination, choices) if in_place else ()
    plan = plan_report(destination.address, choices, in_place, live)
    result: dict[str, Any] = {
        "server": destination.name,
        "in_place": in_place,
        "plan": [_planned(one, live) for one in choices],
    }
    if dry_run:
        return Outcome("restore", {**result, "restored": []}, plan)
    if in_place:
        _check_confirmed(choices, live, confirmed)
    click.echo(plan.as_text(), err=True)
    began = time.monotonic()
    restored, failures = _restored(invocation, target, destination, choices, in_place)
    result["restored"] = [one.model_dump(mode="json") for one in restored]
    result["failed"] = [{"database": name, "sentence": str(error)} for name, error in failures]
    failed = failed_in_part(failures, "restored", len(restored), "restored")
    report = restore_report(destination.address, restored, time.monotonic() - began, failures)
    return Outcome("restore", result, report, problem=problem_of(failed) if failed else None)


def _restored(
    invocation: Invocation, target: Target, server: Server, choices: Sequence[RestoreChoice], in_place: bool
) -> tuple[list[RestoredDatabase], list[tuple[str, PlatformOpsError]]]:
    """One database after the other: one that fails does not keep the others from coming back."""
    restored: list[RestoredDatabase] = []
    failures: list[tuple[str, PlatformOpsError]] = []
    for choice in choices:
        try:
            restored += restore_databases(
                target, server, [choice], in_place=in_place, progress=invocation.progress
            )
        except PlatformOpsError as error:
            failures.append((choice.database, error))
    return restored, failures


def _check(databases: Sequence[str], everything: bool, in_place: bool, confirmed: Sequence[str]) -> None:
    if everything == bool(databases):
        raise ConfigurationError(
            "Say what to restore: --database NAME (repeatable), or --all for all of them."
        )
    if confirmed and not in_place:
        raise ConfigurationError(
            "--confirm belongs to --in-place; without it no live database is replaced: leave one out, or give both."
        )


def _check_confirmed(choices: Sequence[RestoreChoice], live: Sequence[str], confirmed: Sequence[str]) -> None:
    if lacking := sorted(set(live) - set(confirmed)):
        raise ConfigurationError(
            f"--in-place takes the place of {lacking[0]!r}: repeat its name with --confirm, as for each other one; "
            "--dry-run shows the plan."
        )
    if unknown := sorted(set(confirmed) - {choice.database for choice in choices}):
        raise ConfigurationError(f"--confirm names {unknown[0]!r}, which is not restored; nothing was done.")


def _planned(choice: RestoreChoice, live: Sequence[str]) -> dict[str, Any]:
    return {
        "database": choice.database,
        "set": str(choice.key),
        "state": choice.state,
        "passed_over": str(choice.failed) if choice.failed else None,
        "replaces": choice.database in live,
    }
