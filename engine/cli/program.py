"""The program itself: which commands there are, and from what one returns or raises to its exit code.

Commands are loaded when they are called, so that `--help` imports nothing heavy.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from engine.cli.interruption import Interrupted, ended_cleanly
from engine.cli.lazy import LazyGroup
from engine.cli.outcome import Outcome, emit, problem_of
from engine.errors import PlatformOpsError
from engine.sources.groups import GROUPS

PROGRAM = "platformctl"

COMMANDS = {
    "backup": "Back up a source (of a server: one cluster set, one set per database), then retention.",
    "list": "List the stored sets with their state, size, age and why each is kept.",
    "show": "Show one set: what it holds, what it lacks, what was found about it.",
    "verify": "Read stored sets again and compare them with their manifests.",
    "drill": "Restore a set into something nobody reaches and compare: only this proves it.",
    "check": "Say whether each source was recorded, verified and proven of late.",
    "restore": "Restore databases into a live server, beside or in place of what is there.",
    "prune": "Show what retention lets go; delete it with --delete.",
    "plan": "Show what a deploy would change and why; changes nothing that runs.",
    "deploy": "Bring a platform to the versions its files name, or to others; without a dropped request.",
    "update": "Bring one service to another version, the same way.",
    "rollback": "Go back to the last good release: images and configuration, no registry needed.",
    "rollback-db": "Go back with the databases that were backed up before the release.",
    "resume": "Finish or revert a change of a platform that was cut off.",
    "releases": "List the releases on the host: versions, who, when.",
    "start": "Start a platform in dependency order, or one service.",
    "stop": "Stop a platform, or one service.",
    "restart": "Start services anew; rolling ones without a pause.",
    "status": "Show what runs: version, image, since when, health.",
    "health": "Ask every service and every route of a platform.",
    "logs": "Show the last lines of a service, or follow them.",
    "k8s": "An application in a Kubernetes cluster: plan, deploy, roll back, migrate, scale, restart, logs, ...",
    "keygen": "Make a key pair to encrypt backups with.",
    "completion": "Print the script that completes commands and names in your shell.",
}

_EPILOG = """\b
Exit codes:
  0  done
  1  failed
  2  wrong usage or configuration; nothing was touched
  3  could not verify: neither good nor bad was shown
  4  locked: another run is at it
  5  partial: the main copy is good, something after it was missed
  128 + n  ended by signal n, in order: what was half-done was taken back

\b
The configuration is --config, else $PLATFORM_OPS_CONFIG, else ./platform-ops.toml,
else /etc/platform-ops/platform-ops.toml. Results go to stdout, progress to stderr.

\b
Example:
  platformctl backup --source platform && platformctl drill newest
"""


class _Program(LazyGroup):
    """All commands: those of this room, and the groups that kinds bring."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return LazyGroup.get_command(self, ctx, cmd_name) if cmd_name in COMMANDS else _groups().get(cmd_name)


def _groups() -> dict[str, click.Group]:
    """The commands of one kind of what is kept, by its noun."""
    from engine.cli.kind_group import KindGroup, groups

    return {noun: KindGroup(kept) for noun, kept in groups().items()}


@click.group(
    cls=_Program,
    words={**COMMANDS, **GROUPS},
    room="engine.cli",
    help="The operations of a platform from a shell, without Prefect: deploys, rollbacks, backups, drills, restores.",
    epilog=_EPILOG,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--config", type=click.Path(path_type=Path), help="The configuration file to read.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--debug", is_flag=True, help="Show where an unexpected error came from.")
@click.version_option(package_name="platform-ops", prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, as_json: bool, debug: bool) -> None:
    ctx.obj = {"config": config, "as_json": as_json, "debug": debug}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Nothing but the result is written to stdout."""
    gc.set_threshold(100_000, 50)  # a list of 100,000 sets: looking for cycles would take half the time
    _standard_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    outcome = _ran(given, debug="--debug" in options)
    if outcome is None:  # help was shown
        return 0
    return emit(outcome, as_json="--json" in options, program=PROGRAM)


def _standard_streams() -> None:
    """Give what was closed (`>&-`, some schedulers) to /dev/null, or the next file would get its number."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
            setattr(sys, name, open(number, mode, encoding="utf8", closefd=False))  # noqa: SIM115


def _ran(given: list[str], debug: bool) -> Outcome | None:
    try:
        with ended_cleanly():
            returned = cli.main(given, prog_name=PROGRAM, standalone_mode=False)
        return returned if isinstance(returned, Outcome) else None
    except (PlatformOpsError, click.ClickException, click.Abort, Interrupted) as error:
        return _problem(_called(given), error, debug)
    except Exception as error:  # noqa: BLE001 - whatever it is, people get a sentence
        return _problem(_called(given), error, debug)


def _called(given: Sequence[str]) -> str | None:
    """The command that was meant: `backup`, `volume restore`."""
    for number, word in enumerate(given):
        if word in COMMANDS:
            return word
        if word in _groups():
            return " ".join(given[number : number + 2])
    return None


def _problem(command: str | None, error: BaseException, debug: bool) -> Outcome:
    if debug:
        traceback.print_exception(error)
    return Outcome(command or "", problem=problem_of(error, PROGRAM))
