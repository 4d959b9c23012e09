"""Which process wrote this: a name that can be put into a file's name or a lease, and asked about later.

`<host>-<pid>-<start>`: `host` stands for the machine and its process namespace (two containers share a machine's name
but not its pids), `start` for the boot and the process's start in it, because a pid alone is used again.

Stores and everything above them use this module; it is the only one of this room that `engine.stores` may.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import time
from functools import cache
from pathlib import Path

from engine.hosts.processes import start_of

PROCESS = r"[0-9a-f]{8}-\d{1,10}-(?:[0-9a-f]{8}\.\d{1,20}|unknown)"
"""What such a name looks like, to be part of another pattern."""
_PROCESS = re.compile(r"(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>(?P<boot>[^.]+)(?:\.\d+)?)")
_FOREIGN_SECONDS = 24 * 3600


def this_process() -> str:
    """This process for certain: `has_ended` tells about it on this host."""
    pid = os.getpid()
    return f"{_host()}-{pid}-{_started(pid) or 'unknown'}"


def has_ended(process: str) -> bool:
    """Whether it is a process of this host and has ended.

    Nobody can tell about another host's; nor about one from before a restart, which looks like one
    of another host of the same name.
    """
    match = _named(process)
    if match is None or match["host"] != _host() or match["boot"] not in (_boot(), "unknown"):
        return False
    return _is_gone(int(match["pid"]), match["start"])


def is_of_this_boot(process: str) -> bool:
    """Whether it was started on this host and since its last restart: it goes by the same clock as we do."""
    match = _named(process)
    return match is not None and match["host"] == _host() and match["boot"] == _boot()


def is_of_another_boot(process: str) -> bool:
    """Whether it was started before the last restart, where it is known to be a process of this machine."""
    match = _named(process)
    return match is not None and match["boot"] not in (_boot(), "unknown")


def has_abandoned(process: str, modified: float) -> bool:
    """Whether the process writes a file no more that was last written at `modified` (seconds since the epoch).

    One on another host cannot be asked: it counts as dead when it has written nothing for a day.
    """
    match = _named(process)
    if match is None:
        return False
    if match["host"] != _host():
        return time.time() - modified > _FOREIGN_SECONDS
    return _is_gone(int(match["pid"]), match["start"])


def _named(process: str) -> re.Match[str] | None:
    return _PROCESS.fullmatch(process) if re.fullmatch(PROCESS, process) else None


@cache
def _host() -> str:
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{platform.node()}\0{namespace}".encode()).hexdigest()[:8]


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "0" * 8


def _started(pid: int) -> str | None:
    """When the process started, as text to compare (a zombie's is like no other); None when nobody can see."""
    found = start_of(pid)
    return None if found is None else f"{_boot()}.{found}"


def _is_gone(pid: int, started: str) -> bool:
    found = _started(pid)
    if found is None or started == "unknown":
        return not _runs(pid)  # /proc may hide the processes of other users
    return found != started


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
