"""Commands of one kind: `platformctl volume restore`. A kind brings its group by its noun, and commands of its own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import click

from engine.cli.completing import names_in_sets, sets
from engine.cli.invocation import Invocation, operation, source_option, store_option
from engine.cli.outcome import Outcome, problem_of, screen
from engine.cli.selection import source_meant
from engine.operations.restore import Choice, RestoreRun
from engine.reports.restore import plan_report, restore_report
from engine.sources import registry
from engine.sources.base import Restored, SourceType
from engine.steps import InShell


def groups() -> Mapping[str, SourceType]:
    """By noun, the types of source that have commands of their own."""
    return {each.kinds[0].noun: each for each in registry.SOURCE_TYPES if each.restore_flow or each.commands}


class KindGroup(click.Group):
    """The commands of one type of source: `restore`, where it can be, and those it names itself."""

    def __init__(self, kept: SourceType) -> None:
        self.kept, self.noun = kept, kept.kinds[0].noun
        super().__init__(self.noun, help=f"Of {self.noun}s: {', '.join(self._helps())}.")

    def _helps(self) -> dict[str, str]:
        restore = {"restore": f"Bring {self.noun}s back, beside the live ones or in place of them."}
        return {**(restore if self.kept.restore_flow else {}), **self.kept.commands}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._helps())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "restore" and self.kept.restore_flow:
            return _restore(self.kept)
        if cmd_name not in self.kept.commands:
            return None
        found = importlib.import_module(f"engine.cli.{self.noun}_{cmd_name.replace('-', '_')}").command
        assert isinstance(found, click.Command)  # noqa: S101 - each module of `commands` has one
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._helps().items()))


def _restore(kept: SourceType) -> click.Command:
    kind = kept.kinds[0]
    noun = kind.noun

    @click.command(
        "restore",
        help=f"""Bring {noun}s back; each counts only when it equals its proof.

        By default one comes back beside the live one, as <name>-restored-<time>, or as --as says. With
        --in-place it takes the live one's place, and the live one is kept under another name; --confirm
        has to repeat the name of each that is replaced. SET: as in `platformctl show`.

        \b
        Example:
          platformctl {noun} restore NAME
          platformctl {noun} restore NAME --set newest-proven --in-place --confirm NAME
        """,
    )
    @click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=names_in_sets(kind.name))
    @click.option("--all", "everything", is_flag=True, help=f"Every {noun} there is a set of.")
    @click.option("--set", "chosen", metavar="SET", default="newest", show_default=True, help="From this set.",
                  shell_complete=sets)  # fmt: skip
    @click.option("--as", "into", metavar="NAME", default="", help="What it is to be called.")
    @source_option("Whose sets; may be left out when there is one only.")
    @store_option("Where the sets are; else the source's own store.")
    @click.option("--in-place", is_flag=True, help="Under its own name; a live one is kept under another.")
    @click.option("--confirm", "confirmed", multiple=True, metavar="NAME", help=f"A live {noun} to be replaced.")
    @click.option("--dry-run", is_flag=True, help="Ask the store and the source, show the plan, and do nothing.")
    @operation
    def command(invocation: Invocation, source: str | None, store: str | None, **choices: Any) -> Outcome:
        name = _source(invocation, kept, source_meant(choices["chosen"], source))
        opened = registry.open_source(invocation.settings, name)
        run = RestoreRun(
            invocation.repository(store or opened.settings.store),
            opened,
            choices["names"],
            choices["chosen"],
            "platformctl restore",
            choices["everything"],
            choices["into"],
            choices["in_place"],
        )
        return _carried_out(f"{noun} restore", run, invocation, choices["confirmed"], choices["dry_run"])

    return command


def _source(invocation: Invocation, kept: SourceType, name: str | None) -> str:
    """The given source, or the only one of this type; raises as `Invocation.source_name`."""
    of_type = [each for each, own in invocation.settings.sources.items() if registry.type_of(own) is kept]
    return of_type[0] if name is None and len(of_type) == 1 else invocation.source_name(name)


def _carried_out(
    called: str, run: RestoreRun, invocation: Invocation, confirmed: tuple[str, ...], dry: bool
) -> Outcome:
    steps = InShell(invocation.progress)
    run.plan(steps)
    plan = plan_report(run)
    if dry:
        return Outcome(called, _result(run), plan)
    run.require_confirmed(confirmed, "--confirm")
    click.echo(plan.as_text(screen(sys.stderr)), err=True)
    run.carry_out(steps)
    problem = run.problem()
    return Outcome(called, _result(run), restore_report(run), problem=problem_of(problem) if problem else None)


def _result(run: RestoreRun) -> dict[str, Any]:
    return {
        "source": run.source.name,
        "in_place": run.in_place,
        "plan": [_planned(one) for one in run.choices],
        "restored": [_restored(one) for one in run.restored],
        "failed": [{"name": name, "sentence": str(error)} for name, error in run.failures],
        "seconds": round(run.seconds, 3),
    }


def _planned(one: Choice) -> dict[str, Any]:
    return {"name": one.name, "set": str(one.set.key), "state": one.set.state, "into": one.into, "replaces": one.live}


def _restored(one: Restored) -> dict[str, Any]:
    return {
        "name": one.name,
        "set": str(one.key),
        "kept": one.kept or None,
        "counts": dict(one.counts),
        "remarks": list(one.remarks),
    }
