"""What a command came to, and how it leaves the program: text or one JSON document, and an exit code."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

import click

from engine.cli.interruption import Interrupted
from engine.errors import PlatformOpsError, out_of
from engine.words.layout import Screen
from engine.words.report import Report
from engine.words.wording import one_line

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a command did not come out well: an exit code, the kind of error, one sentence."""

    exit_code: int
    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` is the command's plain data for `--json`; `report` or `text` is the same for people."""

    command: str
    result: dict[str, Any] | None = field(default=None)
    report: Report | None = None
    text: str = ""
    problem: Problem | None = None


def problem_of(error: BaseException, program: str = "platformctl") -> Problem:
    """An error as one sentence with its exit code."""
    error = out_of(error) or error
    kind = type(error).__name__
    match error:
        case PlatformOpsError():
            return Problem(error.exit_code, kind, str(error))
        case Interrupted():
            return Problem(128 + error.number, kind, str(error))
        case click.Abort():
            return Problem(130, "Interrupted", "Interrupted.")
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else program
            message = error.format_message()
            end = "" if message.endswith((".", "?")) else "."
            return Problem(2, "UsageError", f"{message}{end} See `{path} --help`.")
        case click.ClickException():
            return Problem(2, kind, error.format_message())
    return Problem(
        1, kind, f"An unexpected error ({kind}): {error}; start again with --debug and report what it shows."
    )


def emit(outcome: Outcome, *, as_json: bool, program: str) -> int:
    """Write the outcome to stdout, a problem's sentence to stderr; returns the exit code."""
    problem = outcome.problem
    if problem:
        _say(f"{program}: {one_line(problem.sentence)}")
    text = (
        _document(outcome)
        if as_json
        else outcome.report.as_text(screen(sys.stdout))
        if outcome.report
        else outcome.text
    )
    try:
        _write(text)
    except OSError as error:
        _say(f"{program}: The result cannot be written to stdout: {error.strerror}; what it tells of is done.")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return problem.exit_code if problem else 1
    return problem.exit_code if problem else 0


def screen(stream: TextIO) -> Screen:
    """How wide the terminal is that a stream leads to, and whether it shows colours (https://no-color.org)."""
    if not stream.isatty():
        return Screen()
    colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Screen(shutil.get_terminal_size().columns, colours)


def _say(sentence: str) -> None:
    with suppress(OSError):  # a log's disk that is full changes nothing of what was done
        print(sentence, file=sys.stderr, flush=True)  # noqa: T201


def _document(outcome: Outcome) -> str:
    problem = outcome.problem
    error = problem and {"kind": problem.kind, "exit_code": problem.exit_code, "sentence": problem.sentence}
    document = {
        "schema": SCHEMA,
        "command": outcome.command,
        "ok": problem is None,
        "result": outcome.result,
        "error": error,
    }
    # Without line breaks it is ten times faster, which 100,000 sets need and programs do not mind.
    indent = 1 if sys.stdout.isatty() else None
    return json.dumps(document, indent=indent, ensure_ascii=False, default=str) + "\n"


def _write(text: str) -> None:
    """All of `text` to stdout; a reader that has gone away (`| head`) is no error."""
    try:
        sys.stdout.buffer.write(text.encode("utf8", "backslashreplace"))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
