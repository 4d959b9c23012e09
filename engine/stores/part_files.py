"""Names of part files: who is writing, so that a later run knows what nobody will finish.

`.part-<host>-<pid>-<start>-<random>`: `host` stands for the machine and its process namespace (two
containers share a machine's name but not its pids), `start` for the boot and the process's start in
it, because a pid alone is used again. The leading dot keeps it from ever being a key.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import time
from functools import cache
from pathlib import Path

_PROCESS = re.compile(r"([0-9a-f]{8})-(\d{1,10})-([0-9a-f]{8}\.\d{1,20}|unknown)")
_NAME = re.compile(rf"\.part-({_PROCESS.pattern})-[0-9a-f]{{16}}")
_FOREIGN_SECONDS = 24 * 3600
_START_FIELD = 19  # of /proc/<pid>/stat after the command's closing parenthesis: start in clock ticks


def is_part(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def new_part_name() -> str:
    return f".part-{this_process()}-{secrets.token_hex(8)}"


def this_process() -> str:
    """This process for certain, `<host>-<pid>-<start>`: `has_ended` tells about it on this host."""
    pid = os.getpid()
    return f"{_host()}-{pid}-{_started(pid) or 'unknown'}"


def has_ended(process: str) -> bool:
    """Whether it is a process of this host and has ended.

    Nobody can tell about another host's; nor about one from before a restart, which looks like one
    of another host of the same name.
    """
    match = _PROCESS.fullmatch(process)
    if match is None or match[1] != _host() or match[3].partition(".")[0] not in (_boot(), "unknown"):
        return False
    return _is_gone(int(match[2]), match[3])


def is_of_this_boot(process: str) -> bool:
    """Whether it was started on this host and since its last restart: it goes by the same clock as we do."""
    match = _PROCESS.fullmatch(process)
    return match is not None and match[1] == _host() and match[3].partition(".")[0] == _boot()


def is_of_another_boot(process: str) -> bool:
    """Whether it was started before the last restart, where it is known to be a process of this machine."""
    match = _PROCESS.fullmatch(process)
    return match is not None and match[3].partition(".")[0] not in (_boot(), "unknown")


def is_abandoned(name: str, modified: float) -> bool:
    """Nobody writes this part file any more.

    `modified` is when it was last written (seconds since the epoch). A writer on another host
    cannot be asked: it counts as dead when it has written nothing for a day.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return False
    if match[2] != _host():
        return time.time() - modified > _FOREIGN_SECONDS
    return _is_gone(int(match[3]), match[4])


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
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return "ended" if fields[0] in ("Z", "X") else f"{_boot()}.{fields[_START_FIELD]}"


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
