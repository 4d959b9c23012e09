"""One run at a time on one Keycloak, whoever starts it and wherever: a lock where Keycloak runs.

A symbolic link in its memory (/dev/shm) that names a process there, which lives by its input: it ends with ours, also
after kill -9, and a link whose process is gone holds nothing. With the container the link goes too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from engine.errors import LockedByAnother, OperationFailed, TransientFailure
from engine.hosts.base import Host, Program

_SCRIPT = (
    'since() { cut -d" " -f22 "/proc/$1/stat" 2>/dev/null; }; trap "" INT QUIT HUP; '
    'folder=/dev/shm; [ -w "$folder" ] || folder=/tmp; lock=$folder/platform-ops-$1.lock; '
    'for try in 1 2 3; do if ln -s "$$ $(since $$) $2" "$lock" 2>/dev/null; then '
    'trap "rm -f \\"$lock\\"; exit 0" TERM; [ ! -e "$folder/platform-ops-$1.import" ] || echo left; echo taken; read -r _; rm -f "$lock"; exit 0; fi; '
    'held=$(readlink "$lock"); pid=${held%% *}; rest=${held#* }; '
    '[ -n "$pid" ] && [ "$(since "$pid")" = "${rest%% *}" ] && { echo "held ${rest#* }"; exit 75; }; '
    # Of two that see the same dead link the slower one takes away what the quicker one has made since: it gives it back.
    'mv -f "$lock" "$lock.$$" && { [ "$(readlink "$lock.$$")" = "$held" ] || ln -s "$(readlink "$lock.$$")" "$lock"; '
    'rm -f "$lock.$$"; }; done; exit 76'
)


@dataclass
class Held:
    """See `engine.sources.base.Held`. `left`: a run was killed at its import (`caches`)."""

    program: Program
    where: str
    left: bool

    def require(self) -> None:
        if self.program.poll() is not None:
            raise TransientFailure(f"The lock on Keycloak {self.where} was lost (it was stopped); run it again.")


@contextmanager
def keycloak_lock(host: Host, name: str, label: str) -> Iterator[Held]:
    """Hold the lock of [realms.`name`].

    Raises:
        LockedByAnother: another run has it.
        TransientFailure: Keycloak's host does not answer.
    """
    program = host.stream(("sh", "-c", _SCRIPT, "platform-ops", name, label), env={}, stdin=True)
    try:
        yield Held(program, f"{name}{host.note}", left=_taken(program, name, host))
    finally:
        with suppress(OSError, ValueError):
            if program.stdin is not None:
                program.stdin.close()
        with suppress(Exception):
            program.wait(5)
        if program.poll() is None:
            program.kill()
            program.wait()
        for stream in (program.stdout, program.stderr):
            if stream is not None:
                stream.close()


def _taken(program: Program, name: str, host: Host) -> bool:
    """What `Held.left` says; raises as `keycloak_lock`."""
    answer = b""
    while not answer.endswith(b"\n") or answer == b"left\n":
        piece = program.stdout.read(4096) if program.stdout else b""
        if not piece:
            break
        answer += piece
    if answer.endswith(b"taken\n"):
        return answer.startswith(b"left")
    if answer.startswith(b"held "):
        holder = answer.decode("utf8", "replace").removeprefix("held ").strip()
        raise LockedByAnother(f"Another run is at Keycloak {name}{host.note}: {holder}; wait for it, then start again.")
    message = b"".join(program.stderr or ()).decode("utf8", "replace").strip()[-200:]
    raise OperationFailed(f"Keycloak {name}{host.note} cannot be locked: {message or 'it output nothing'}.")
