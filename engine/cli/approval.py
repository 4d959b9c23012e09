"""Who is at it in a shell, and how a person approves a plan there: the answer is bound to the plan's hash."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import Any

import click

from engine.errors import ConfigurationError, OperationFailed
from engine.words.report import Report

SHOWN = 12


def approve_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--approve", metavar="PLAN", help="The plan's hash, as `plan` shows it: approves it without a question."
    )(function)


def owner(command: str) -> str:
    """Who is at it, for the record and for whoever finds the platform locked."""
    return f"platformctl {command} by {getpass.getuser()}"


def approved(digest: str, report: Report, environment: str, given: str | None) -> str:
    """Ask whoever sits there, or take what was given with --approve; who approved it.

    Raises:
        ConfigurationError: nobody sits there, and nothing was given.
        OperationFailed: it was rejected, or another plan was approved.
    """
    who = getpass.getuser()
    if given is not None:
        if len(given) < 8 or not digest.startswith(given):
            raise OperationFailed(
                f"The plan is {digest[:SHOWN]}, and {given[:80]!r} was approved; nothing was changed."
            )
        return who
    click.echo(report.as_text(), err=True)
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"{environment} needs approval: look at the plan, then give --approve {digest[:SHOWN]}; nothing was changed."
        )
    answer = click.prompt(f"Type the plan's hash ({digest[:SHOWN]}) to approve it", default="reject", err=True)
    if answer != digest[:SHOWN]:
        raise OperationFailed("The plan was rejected; nothing was changed.")
    return who
