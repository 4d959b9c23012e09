"""The readable record of a run: one artifact, the same words as the command line's.

It is made when the run begins and written again as the run goes on, so that a run that fails leaves one too,
and one that is killed leaves what it had come to.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed

from engine.hosts.ending import ended_in_order
from engine.operations.backup import BackupRun
from engine.reports.backup import backup_report
from engine.run_state import ENDED_WELL, RunState
from engine.sources.postgres.restore.operation import RestoreRun
from engine.sources.postgres.restore.report import restore_report
from engine.words.report import Report
from engine.words.run_report import plain_report
from engine.words.wording import escaped
from tasks.patience import patient
from tasks.running import known

_PAUSE_SECONDS = 1.0


class Record:
    """A run's record, from its beginning to its end.

    `report` is what the run came to; without one the record says that the run goes on, or why it failed.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = datetime.now(UTC)
        self.report: Report | None = None
        self._artifact: UUID | None = None
        self._shown = 0.0
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        self.show(self.so_far(RunState(going=True)))
        self._ending.enter_context(_ended_in_order())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._ending:
            if error is None:
                self.show(self.so_far(ENDED_WELL))
            else:
                self.fails(error)

    def fails(self, error: BaseException) -> None:
        """Write why the run ends; the run's own error says more than one of writing it."""
        with suppress(httpx.HTTPError):
            self.show(self.so_far(RunState(problem=_sentence_of(error))))

    def so_far(self, state: RunState) -> Report:
        """The record as it is now."""
        if self.report is None:
            return plain_report(self.title, self.started, state)
        if state.problem:
            return replace(self.report, sentence=f"Failed: {state.problem} {self.report.sentence}")
        return self.report

    def goes_on(self) -> None:
        """Write how far the run is, now and then; no work waits for it, or fails for it."""
        if time.monotonic() - self._shown < _PAUSE_SECONDS:
            return
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), suppress(httpx.HTTPError):
            self._put(self.so_far(RunState(going=True)))

    def completed(self) -> State[Any]:
        """The state of a run that came out well; it says what the run did, and so does the last line of its log."""
        sentence = self.so_far(ENDED_WELL).sentence
        get_run_logger().info("%s", sentence)
        return Completed(message=sentence)

    @property
    def seconds(self) -> float:
        """How long the run has taken until now."""
        return (datetime.now(UTC) - self.started).total_seconds()

    def show(self, report: Report) -> None:
        """Write it now, and wait for a Prefect server that is away.

        Raises:
            httpx.HTTPError: it was away for too long, or refuses.
        """
        patient(lambda: self._put(report))

    def _put(self, report: Report) -> None:
        self._shown = time.monotonic()
        text, title = report.as_markdown(), escaped(report.title)
        if self._artifact is not None and _rewritten(self._artifact, text, title):
            return
        # `key` groups the runs of one operation.
        self._artifact = UUID(str(create_markdown_artifact(text, key=flow_run.flow_name, description=title)))


def _ended_in_order() -> AbstractContextManager[None]:
    """A run that is cancelled has half a minute before its process is killed: all that it started ends at once."""
    if threading.current_thread() is not threading.main_thread():
        return nullcontext()  # no worker runs it, and no signal comes here
    return ended_in_order((signal.SIGTERM,))


def _rewritten(artifact: UUID, text: str, title: str) -> bool:
    """Whether it was written again; else somebody has deleted it."""
    try:
        with get_client(sync_client=True) as client:
            client.update_artifact(artifact, ArtifactUpdate(data=text, description=title))
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            return False
        raise
    return True


def _sentence_of(error: BaseException) -> str:
    if isinstance(error, TerminationSignal | KeyboardInterrupt):
        return "It was cancelled, or its worker was stopped."
    if isinstance(error, TimeoutError):
        return "It took longer than a run of this operation may."
    return str(known(error))


class BackupRecord(Record):
    """What was stored, how big, how long, what is missing, what was pruned and why."""

    def __init__(self, source: str) -> None:
        super().__init__(f"Backup of {source}")
        self.source = source
        self.run: BackupRun | None = None

    @property
    def changed(self) -> bool:
        """Whether other sets are stored than before, or it is not known."""
        result = self.run.result if self.run else None
        if result is None or result.stored or result.failures or any(one.copied for one in result.copies):
            return True
        return bool(result.pruned and result.pruned.deleted)

    def so_far(self, state: RunState) -> Report:
        if self.run is None or not self.run.result.found:
            return super().so_far(state)
        self.run.result.seconds = self.seconds
        return backup_report(self.run.result, state)


class RestoreRecord(Record):
    """Which databases came back, under which names, and where the old ones are."""

    def __init__(self, server: str) -> None:
        super().__init__(f"Restore to {server}")
        self.server = server
        self.run: RestoreRun | None = None

    def so_far(self, state: RunState) -> Report:
        run = self.run
        if self.report or run is None or not run.choices or (state.problem and not (run.restored or run.failures)):
            return super().so_far(state)
        return restore_report(self.server, run.restored, self.seconds, run.failures, run.wanted, state, run.spare)
