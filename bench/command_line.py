"""How long `platformctl --help` lets somebody wait."""

from __future__ import annotations

import os
import statistics

from bench.figures import Figure
from bench.timing import report, run

_COMMAND = ".venv/bin/platformctl --help"


def measure(laps: int) -> list[Figure]:
    """Figure 7: the median of many calls, after one that fills the disk's cache."""
    argv = _COMMAND.split()
    run(argv, os.environ)
    found = [run(argv, os.environ) for _ in range(laps * 5)]
    report(f"--help: {min(found):.3f} to {max(found):.3f} s")
    return [Figure("platformctl --help", statistics.median(found), "s", "<=", 0.5, 0.2, (f"time {_COMMAND}",))]
