"""Run commands as a user would and take the time; compare them lap by lap, A B A B."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Step = Callable[[], float]
"""Does something once and returns the seconds it took."""


class MeasureError(Exception):
    """A command that is measured failed: there is no figure then."""


def shell(script: str, environment: Mapping[str, str]) -> float:
    """Seconds a shell script takes; any command in it that fails ends it."""
    return run(["bash", "-euo", "pipefail", "-c", script], environment)


def run(argv: list[str], environment: Mapping[str, str]) -> float:
    """Seconds a command takes from its start to its end."""
    began = time.monotonic()
    done = subprocess.run(argv, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    took = time.monotonic() - began
    if done.returncode:
        message = done.stderr.decode("utf8", "replace").strip().splitlines()[-3:]
        raise MeasureError(f"{argv[-1][:200]} ended with {done.returncode}: {'; '.join(message)}")
    return took


@dataclass
class Laps:
    """Seconds of each contestant, lap by lap."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, other: str) -> float:
        """The median of the laps' own ratios: what disturbs one lap disturbs both in it."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)


def interleaved(steps: Mapping[str, Step], laps: int) -> Laps:
    """Each contestant once per lap. What one left to be written is written before the next begins."""
    found = Laps({name: [] for name in steps})
    for lap in range(laps):
        for name, step in steps.items():
            os.sync()
            seconds = step()
            found.seconds[name].append(seconds)
            report(f"lap {lap + 1} of {laps}: {name} {seconds:.2f} s")
    return found


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
