"""A process that outlives a scratch server's owner only to clean up after it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from engine.errors import OperationFailed
from engine.sources.postgres.scratch.sweep import end_processes, owner_of, sweep_folder

_WATCH_SECONDS = 0.5


def start_watcher(folder: Path) -> subprocess.Popen[bytes]:
    """A process that outlives this one only to clean up after it, so it is no program of a Host, which ends with us."""
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if key in os.environ}
    return subprocess.Popen(
        [sys.executable, "-S", "-m", __name__, str(folder)],
        cwd=Path(__file__).parents[4],
        env=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def watch(folder: Path) -> None:
    """Wait for the end of the folder's owner; then end what runs in the folder and remove it."""
    owner = owner_of(folder)
    while owner and owner.alive():
        time.sleep(_WATCH_SECONDS)
    while folder.exists() and not sweep_folder(folder):
        time.sleep(_WATCH_SECONDS)
    end_processes(folder)  # also where somebody else has removed the folder


if __name__ == "__main__":
    with suppress(OperationFailed):
        watch(Path(sys.argv[1]))
