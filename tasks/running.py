"""How tasks run: what is tried again, and how progress is told."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx
from prefect import Task, get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from engine.errors import OperationFailed, PlatformOpsError, out_of
from engine.hosts.ending import is_ending
from engine.progress import Progress, readable_bytes

TAG = "platform-ops"
"""Every deployment's tag, by which it and its runs are told from those of others who use the same Prefect server."""

SAMPLED = "Sampled"
"""The name of a completed run that proved nothing, since it compared a sample only."""

DROPPED = "Dropped"
"""The name of a completed task that had nothing to do: its database was dropped since it was listed."""

SKIPPED = "Skipped"
"""The name of a cancelled run that left the work to a newer one."""


def worth_retrying(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Prefect retries the whole step when the engine says the failure is of the moment.

    Nothing retries a wrong configuration, nor what a cancelled run has ended.
    """
    del task, run
    if is_ending():
        return False
    error = state.result(raise_on_failure=False)
    return isinstance(error, PlatformOpsError) and error.retryable


class BadVerdict(OperationFailed):
    """What a task found is bad news: its bar is red, and the flow goes on with `found`."""

    def __init__(self, sentence: str, found: object = None) -> None:
        super().__init__(sentence)
        self.found = found


def found_by(state: State[Any]) -> Any:
    """What a task found, be it good or bad; any other error of it is raised."""
    error = state.result(raise_on_failure=False)
    return error.found if isinstance(error, BadVerdict) else state.result()


class _SentencesOnly(logging.Filter):
    """Of an error of our own the sentence says all: no traceback in the log that an operator reads."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, PlatformOpsError):
            record.msg, record.args, record.exc_info = str(error), (), None
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_SentencesOnly())


def known(error: object) -> PlatformOpsError:
    """An error of our own; of any other only the kind, since what it says may quote a secret."""
    if isinstance(error, PlatformOpsError):
        return error
    return out_of(error) or OperationFailed(
        f"An unexpected error ({type(error).__name__}); the log of the run has all of it."
    )


def logged_progress() -> Progress:
    """Progress as lines of the run's log, and as a bar where the total is known."""
    logger = get_run_logger()
    bars: dict[str, UUID] = {}

    def report(what: str, done: int = 0, total: int = 0) -> None:
        logger.info("%s%s", what, _how_far(done, total))
        if done and total:
            _draw(bars, what, min(100.0, 100.0 * done / total))

    return report


def _draw(bars: dict[str, UUID], what: str, percent: float) -> None:
    """Draw it at once or not at all: no work waits for a picture, or fails for one."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), suppress(httpx.HTTPError):
        if what in bars:
            update_progress_artifact(bars[what], percent)
        else:
            bars[what] = _made(create_progress_artifact(percent, description=what))


def _made(artifact: Any) -> UUID:
    return UUID(str(artifact))


def _how_far(done: int, total: int) -> str:
    if not done:
        return ""
    return f": {readable_bytes(done)}" + (f" of {readable_bytes(total)}" if total else "")
