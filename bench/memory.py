"""Peak memory of a command and all it started: the sum of resident set sizes, sampled."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from bench.timing import MeasureError

_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Peak:
    """Bytes. Shared pages count once for each process in `rss`, once in all in `pss` (sampled rarely)."""

    rss: int
    pss: int


def peak_of(argv: list[str], environment: Mapping[str, str]) -> Peak:
    """Run a command to its end and watch it. The server is none of its children, so it is not in it."""
    process = psutil.Popen(
        argv,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rss = pss = 0
    while process.poll() is None:
        family = _family(process)
        now = sum(_rss(each) for each in family)
        if now > rss:
            rss = now
            pss = max(pss, sum(_pss(each) for each in family))
        time.sleep(_SAMPLE_SECONDS)
    if process.returncode:
        raise MeasureError(f"{' '.join(argv)} ended with {process.returncode}")
    return Peak(rss, pss)


def _family(process: psutil.Process) -> list[psutil.Process]:
    """The process and all below it, but no twins: until a child becomes its program, it *is* its parent's memory."""
    try:
        return [process, *(each for each in process.children(recursive=True) if not _is_twin(each))]
    except psutil.NoSuchProcess:
        return []


def _is_twin(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        return parent is None or process.cmdline() == parent.cmdline()
    except psutil.Error:
        return True


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
