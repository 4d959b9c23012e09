"""Processes that outlive `make demo`: started recorded, found again, ended with their children."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from demo.layout import Layout
from demo.state import changing, read
from engine.errors import OperationFailed
from engine.hosts.processes import ProcessIdentity, arguments, running_pids

LAUNCHER = "demo.launch"
_RECORD_SECONDS = 30.0
_TAIL_BYTES = 2000

# Kept so that what this very process started is reaped when it has ended.
_children: dict[int, subprocess.Popen[bytes]] = {}


def running(layout: Layout, name: str) -> ProcessIdentity | None:
    """The recorded process of that name, if it still is that process."""
    identity = read(layout).processes.get(name)
    return identity if identity and identity.alive() else None


def start(layout: Layout, name: str, argv: list[str], environment: Mapping[str, str]) -> ProcessIdentity:
    """Start `argv` in the background, logging to `.demo/logs/<name>.log`; returns when it is recorded.

    Raises:
        OperationFailed: it ended at once.
    """
    launcher = [sys.executable, "-m", LAUNCHER, str(layout.root), name, *argv]
    descriptor = os.open(log_of(layout, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as log:
        child = subprocess.Popen(
            launcher,
            cwd=layout.prefect,  # Prefect reads .env and prefect.toml where it is started
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _children[child.pid] = child
    identity = _recorded(layout, name, child)
    if identity is None:
        raise OperationFailed(f"{name} did not stay up; its log ends with: {log_tail(layout, name)}")
    return identity


def _recorded(layout: Layout, name: str, child: subprocess.Popen[bytes]) -> ProcessIdentity | None:
    """Wait until the child has recorded itself and become its program; None when it ended before."""
    deadline = time.monotonic() + _RECORD_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        identity = running(layout, name)
        line = arguments(child.pid)  # empty while it is dying
        if identity is not None and identity.pid == child.pid and line and LAUNCHER not in line:
            return identity
        time.sleep(0.02)
    return None


def end(layout: Layout, name: str) -> bool:
    """End the recorded process and what it started, and forget it; whether it was running."""
    identity = running(layout, name)
    was_running = False
    if identity is not None:
        family = list(descendants(identity.pid))
        was_running = identity.end(10.0)
        for member in family:
            member.end(5.0)
        if identity.pid in _children:
            _children.pop(identity.pid).wait()
    with changing(layout) as state:
        state.processes.pop(name, None)
    return was_running


def descendants(pid: int) -> Iterator[ProcessIdentity]:
    """Everything started by `pid`, directly or not, parents before children."""
    children: dict[int, list[int]] = {}
    for each in running_pids():
        parent = _parent(each)
        if parent is not None:
            children.setdefault(parent, []).append(each)
    queue = children.get(pid, [])
    while queue:
        current, *queue = queue
        queue += children.get(current, [])
        identity = ProcessIdentity.of(current)
        if identity is not None:
            yield identity


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[1])


def log_of(layout: Layout, name: str) -> Path:
    return layout.logs / f"{name}.log"


def log_tail(layout: Layout, name: str) -> str:
    """The last words of a background process, as one line."""
    try:
        with log_of(layout, name).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return " | ".join(line.strip() for line in text.splitlines()[-5:] if line.strip()) or "(empty log)"
