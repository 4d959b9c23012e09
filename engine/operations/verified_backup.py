"""The backup before a change: each set is read again before anything is touched."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from engine.errors import OperationFailed
from engine.operations.backup import BackupRun
from engine.operations.timings import Timings
from engine.progress import Progress
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.repository.verify import verify_and_record
from engine.repository.verify_set import VerifyResult
from engine.sources.base import Source
from engine.steps import Record, Step, Steps


def back_up_and_verify(
    source: Source,
    open_repository: Callable[[str], Repository],
    owner: str,
    timings: Timings,
    steps: Steps,
    record: Record,
) -> tuple[str, ...]:
    """The keys of the sets that a rollback of the databases goes back to.

    Raises:
        OperationFailed: one could not be made, or is not what was written.
    """
    run = BackupRun(source, open_repository, token=secrets.token_hex(8), label=owner)
    run.carry_out(steps)
    if problem := run.problem():
        raise OperationFailed(f"The backup before the deploy failed, and nothing was changed: {problem}")
    for one in run.result.stored:
        verify = Step(f"verify {one.key}", partial(_verified, run.repository, one.key), pause_seconds=5)
        report = timings.run(steps, record, verify)
        if report.result != "passed":
            raise OperationFailed(
                f"The backup before the deploy could not be verified, and nothing was changed: {report.sentence}"
            )
    return tuple(str(one.key) for one in run.result.stored)


def _verified(repository: Repository, key: SetKey, progress: Progress) -> VerifyResult:
    return verify_and_record(repository, key, datetime.now(UTC), progress)
