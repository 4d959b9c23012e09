"""Restore what is kept, of whatever kind: the plan, the confirmation, and one thing after the other."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.runtime import flow_run

from engine.operations.restore import RestoreRun
from engine.reports.restore import plan_report, restore_report
from engine.run_state import RunState
from engine.words.report import Report
from tasks.artifacts import Record
from tasks.forms import chosen
from tasks.opening import open_source, open_store, store_of
from tasks.steps import AsTasks


class RestoringRecord(Record):
    """What came back, under which names, and where what was there before is."""

    def __init__(self, source: str) -> None:
        super().__init__(f"Restore to {source}")
        self.source = source
        self.run: RestoreRun | None = None

    def so_far(self, state: RunState) -> Report:
        run = self.run
        if self.report or run is None or not run.choices or (state.problem and not (run.restored or run.failures)):
            return super().so_far(state)
        run.seconds = self.seconds
        return restore_report(run, state)


def plan_restoring(
    record: RestoringRecord,
    store: str,
    names: Sequence[str],
    everything: bool,
    which: str,
    into: str,
    in_place: bool,
) -> None:
    """Which set each comes from, and what live one it takes the place of; the record shows it.

    Raises:
        ConfigurationError: nothing to restore was said, or there is no such set.
    """
    repository = open_store(store_of(record.source, store))
    label = str(flow_run.name)
    run = RestoreRun(repository, open_source(record.source), names, chosen(which), label, everything, into, in_place)
    run.plan(AsTasks())
    record.report = plan_report(run)
    record.run = run


def restore_confirmed(record: RestoringRecord, confirm: Sequence[str]) -> None:
    """Restore it (engine/operations/restore.py), each thing a task of its own, when all that is live was named again.

    Raises:
        ConfigurationError: a name was not confirmed.
        PlatformOpsError: the first thing's sentence that did not come back, and how many others there are.
    """
    run = record.run
    if run is None:
        return
    run.require_confirmed(confirm, "`confirm`")
    record.report = None  # from here on the record tells what is done
    run.carry_out(AsTasks(), record)
    if problem := run.problem():
        raise problem
