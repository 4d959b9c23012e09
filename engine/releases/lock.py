"""One change at a time: a lease on the platform's host, held by a program there that lives by our heartbeats.

The kernel frees the lock with its holder (flock(2)). The holder ends when its input ends, or when no heartbeat came for
`LEASE_SECONDS`: so a worker that was killed, or cut off from the host, holds nothing for long.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engine.errors import LockedByAnother, OperationFailed
from engine.hosts.base import Program
from engine.releases.site import Site

HEARTBEAT_SECONDS, LEASE_SECONDS = 5.0, 30
PATIENCE_SECONDS = 8
"""How long a lock is waited for: that of a run which was killed just now goes meanwhile."""
_END_SECONDS = 20.0
_HOLD = f"""
trap "" INT QUIT HUP TERM  # a terminal sends them to us too; it lives by its input
umask 077; mkdir -p "$1" || exit 1; exec 9>>"$1/lock" || exit 1
flock -E 75 -w {PATIENCE_SECONDS} 9; code=$?
[ "$code" != 75 ] || {{ echo held; cat "$1/lock.owner" 2>/dev/null; exit 75; }}
[ "$code" = 0 ] || exit "$code"
read -r owner || exit 1
printf '%s\\n' "$owner" >"$1/lock.owner" && echo taken
while timeout {LEASE_SECONDS} sh -c 'read -r _'; do date +%s >"$1/lock.heartbeat"; done 9>&-
rm -f "$1/lock.owner" "$1/lock.heartbeat"
"""


class LockLost(OperationFailed):
    """Another run may be at the platform by now: nothing more is to be touched, and nothing taken back."""


@dataclass
class Held:
    """The lease. `require` is asked before each step."""

    program: Program
    lost: threading.Event = field(default_factory=threading.Event)

    def require(self) -> None:
        """Go on only while it is held.

        Raises:
            LockLost: another run may be at it.
        """
        if self.lost.is_set() or self.program.poll() is not None:
            raise LockLost(
                "The lock on the platform was lost; the next run, or `platformctl resume`, puts things right."
            )


@contextmanager
def held(site: Site, owner: str, part: str = "") -> Iterator[Held]:
    """Hold the platform's lock, or that of a part which changes nothing that runs; `owner` is what others are told.

    Raises:
        LockedByAnother: somebody else is at it: who, and since when.
    """
    holder = json.dumps({"owner": owner, "since": datetime.now(UTC).isoformat(timespec="seconds")})
    program = site.host.stream(("sh", "-c", _HOLD, "sh", site.path("run", *filter(None, [part]))), env={}, stdin=True)
    try:
        _taken(site, program, holder, f"{site.directory} ({part})" if part else site.directory)
        lease = Held(program)
        done = threading.Event()
        beat = threading.Thread(target=_beat, args=(lease, done), name="heartbeat", daemon=True)
        beat.start()
        try:
            yield lease
        finally:
            done.set()
            beat.join()
            with suppress(OSError, ValueError):
                assert program.stdin is not None  # noqa: S101 - it was asked for
                program.stdin.close()
            _ended(program)
    finally:
        if program.poll() is None:
            program.kill()
            program.wait()
        for stream in (program.stdout, program.stderr):
            if stream is not None:
                stream.close()


def _taken(site: Site, program: Program, holder: str, name: str) -> None:
    assert program.stdin is not None and program.stdout is not None  # noqa: S101 - both were asked for
    with suppress(OSError):  # one that is refused has ended already
        program.stdin.write(f"{holder}\n".encode())
        program.stdin.flush()
    answer = b""
    while not answer.endswith(b"\n") or answer.startswith(b"held"):
        piece = program.stdout.read(4096)
        if not piece:
            break
        answer += piece
    if answer.startswith(b"taken"):
        return
    if answer.startswith(b"held"):
        raise LockedByAnother(f"{name} is locked by {_owner(answer)}; wait, or look at that run.")
    why = b"".join(program.stderr or ()).decode("utf8", "replace").strip()
    raise OperationFailed(f"{site.path('run')}{site.host.note} cannot be locked: {why or 'it message nothing'}")


def _owner(answer: bytes) -> str:
    try:
        found = json.loads(answer.partition(b"\n")[2])
        return f"{found['owner']} since {found['since']}"
    except (ValueError, KeyError):
        return "another run"


def _beat(lease: Held, done: threading.Event) -> None:
    stdin = lease.program.stdin
    assert stdin is not None  # noqa: S101 - it was asked for
    while not done.wait(HEARTBEAT_SECONDS):
        try:
            stdin.write(b"\n")
            stdin.flush()
        except (OSError, ValueError):
            lease.lost.set()
            return


def _ended(program: Program) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while program.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
