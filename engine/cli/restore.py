"""platformctl restore"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from engine.cli.completing import names_in_sets, sets
from engine.cli.invocation import Invocation, operation, source_option, store_option
from engine.cli.outcome import Outcome, problem_of, screen
from engine.cli.selection import source_meant
from engine.errors import ConfigurationError
from engine.sources.postgres.kinds import DATABASE
from engine.sources.postgres.opening import configured_server
from engine.sources.postgres.restore.choice import RestoreChoice
from engine.sources.postgres.restore.missing_roles import with_passwords
from engine.sources.postgres.restore.operation import RestoreRun, require_wanted
from engine.sources.postgres.restore.report import plan_report, restore_report
from engine.steps import InShell


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
@click.option(
    "--database",
    "databases",
    multiple=True,
    metavar="NAME",
    help="This database (repeatable).",
    shell_complete=names_in_sets(DATABASE.name),
)
@click.option("--all", "everything", is_flag=True, help="All databases of the newest cluster set (or SET).")
@click.option(
    "--set", "chosen", metavar="SET", default="newest", show_default=True, help="From this set.", shell_complete=sets
)
@source_option("Whose sets; may be left out when there is one only.")
@click.option("--to", metavar="NAME", help="The server to restore into, when it is another one.")
@store_option("Where the sets are; else the server's own store.")
@click.option("--in-place", is_flag=True, help="Under their own names; a live one is kept under another.")
@click.option(
    "--confirm",
    "confirmed",
    multiple=True,
    metavar="NAME",
    help="A live database to be replaced.",
    shell_complete=names_in_sets(DATABASE.name),
)
@click.option("--dry-run", is_flag=True, help="Ask the store and the server, show the plan, and do nothing.")
@click.option(
    "--despite-errors", is_flag=True, help="Where not all of a database comes back, take the rest; exit 5, all named."
)
@click.option(
    "--role-password",
    "role_passwords",
    multiple=True,
    metavar="ROLE=REFERENCE",
    help="Where the password is of a role that is created: env:, file: or aws: (repeatable; else role_passwords).",
)
@operation
def command(
    invocation: Invocation,
    databases: tuple[str, ...],
    everything: bool,
    chosen: str,
    source: str | None,
    to: str | None,
    store: str | None,
    in_place: bool,
    confirmed: tuple[str, ...],
    dry_run: bool,
    despite_errors: bool,
    role_passwords: tuple[str, ...],
) -> Outcome:
    require_wanted(databases, everything, "--database NAME (repeatable), or --all for all of them")
    if confirmed and not in_place:
        raise ConfigurationError(
            "--confirm belongs to --in-place; without it no live database is replaced: leave one out, or give both."
        )
    run = _run(invocation, source_meant(chosen, source), to, store, databases, chosen, in_place)
    run.despite_errors = despite_errors
    run.server = with_passwords(run.server, role_passwords, "--role-password")
    steps = InShell(invocation.progress)
    run.plan(steps)
    plan = plan_report(run.server.address, run.choices, in_place, run.live, run.failures, run.spare)
    result: dict[str, Any] = {
        "server": run.server.name,
        "in_place": in_place,
        "plan": [_planned(one, run.live) for one in run.choices],
        "left_out": list(run.spare),
    }
    if dry_run:
        return Outcome("restore", {**result, "restored": [], "failed": _failed(run)}, plan)
    run.require_confirmed(confirmed, "--confirm", "; --dry-run shows the plan")
    click.echo(plan.as_text(screen(sys.stderr)), err=True)
    run.carry_out(steps)
    result["restored"] = [one.model_dump(mode="json") for one in run.restored]
    result["failed"] = _failed(run)
    problem = run.problem()
    report = restore_report(run.server.address, run.restored, run.seconds, run.failures, spare=run.spare)
    return Outcome("restore", result, report, problem=problem_of(problem) if problem else None)


def _run(
    invocation: Invocation,
    source: str | None,
    to: str | None,
    store: str | None,
    databases: Sequence[str],
    chosen: str,
    in_place: bool,
) -> RestoreRun:
    name = invocation.source_name(source)
    server = configured_server(invocation.settings, to or name)
    repository = invocation.repository(store or configured_server(invocation.settings, name).settings.store)
    return RestoreRun(repository, name, server, databases, chosen, in_place)


def _failed(run: RestoreRun) -> list[dict[str, str]]:
    return [{"database": name, "sentence": str(error)} for name, error in run.failures]


def _planned(choice: RestoreChoice, live: Sequence[str]) -> dict[str, Any]:
    return {
        "database": choice.database,
        "set": str(choice.key),
        "state": choice.state,
        "passed_over": str(choice.failed) if choice.failed else None,
        "replaces": choice.database in live,
    }
