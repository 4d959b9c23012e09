"""The steps of a run with their times, as its record shows them."""

from __future__ import annotations

import time
from typing import TypeVar

from engine.steps import Record, Step, Steps

_Made = TypeVar("_Made")


class Timings(list[tuple[str, float, str]]):
    """What each step is called, how many seconds it took, and how it stands."""

    def run(self, steps: Steps, record: Record, step: Step[_Made]) -> _Made:
        """Carry out a step; the record is told before and when it fails."""
        began = time.monotonic()
        self.append((step.title, 0.0, "under way"))
        record.goes_on()
        try:
            made = steps.run(step)
        except BaseException:
            self[-1] = (step.title, time.monotonic() - began, "FAILED")
            record.goes_on()
            raise
        self[-1] = (step.title, time.monotonic() - began, "done")
        return made
