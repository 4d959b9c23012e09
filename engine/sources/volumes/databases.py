"""SQLite databases in a volume, by SQLite's own means: found, held as they are while they are copied, and checked.

In WAL mode (https://www.sqlite.org/wal.html) a reader that began when everything was in the database file, and nothing
in the log, keeps that file as it is: whoever writes goes on, into the log, and no checkpoint may touch the file until the
reader ends ("WAL_READ_LOCK(0)" in wal.c). So the plain file is a whole database, of any size, and nothing has to stop.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from engine.errors import OperationFailed, PlatformOpsError, TransientFailure
from engine.hosts.answer import ANSWER_SECONDS, answer_of
from engine.hosts.base import Program
from engine.sources.volumes.sandbox import FILL, READ, Sandbox, filling, reading

HEARTBEAT_SECONDS, LEASE_SECONDS = 5.0, 30
TRIES_SECONDS = 20.0
"""How long somebody who writes all the time is waited for."""
_HOLD_SECONDS = 1800.0
"""What a log holds is written to its database first, and there may be 2,000 of them."""


@dataclass(frozen=True)
class Database:
    """An SQLite database of a volume, by its path there. `wal`: it is in WAL mode and has one name, of UTF-8, so it can
    be held."""

    path: str
    wal: bool

    @property
    def beside(self) -> tuple[str, ...]:
        """Files that belong to it and are not copied while it is held: its log, and the log's index."""
        return (f"{self.path}-wal", f"{self.path}-shm")


def find(sandbox: Sandbox, volume: str) -> tuple[Database, ...]:
    """The databases of a volume; raises as `Sandbox.run`."""
    argv, binds = sandbox.python_argv("find")
    done = sandbox.run("find", argv, (reading(volume),), READ, binds=binds)
    if done.code != 0:
        raise OperationFailed(f"Databases of {volume} cannot be looked for: {done.stderr.strip()[-200:]}")
    return tuple(Database(path, wal and path.isprintable()) for path, wal in json.loads(done.stdout))


def check(sandbox: Sandbox, volume: str) -> dict[str, str]:
    """By path, what SQLite says of each database (`ok`); nobody else may be at the volume."""
    argv, binds = sandbox.python_argv("check")
    done = sandbox.run("check", argv, (filling(volume),), FILL, binds=binds)
    if done.code != 0:
        raise OperationFailed(f"Databases of {volume} cannot be checked: {done.stderr.strip()[-200:]}")
    return dict(json.loads(done.stdout))


@dataclass
class Hold:
    """Databases that are to be held as they are."""

    program: Program
    volume: str
    databases: Sequence[Database]
    lost: threading.Event = field(default_factory=threading.Event)
    _talks: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> None:
        """Hold them from now on.

        Raises:
            TransientFailure: one is written to all the time.
            OperationFailed: one cannot be opened.
        """
        with suppress(OSError, ValueError):
            self._write(json.dumps([each.path for each in self.databases]).encode() + b"\n")
        message = _sentence(self.program, _HOLD_SECONDS)
        if message == "held":
            return
        if not isinstance(message, list):
            words = b"".join(self.program.stderr or ()).decode("utf8", "replace").strip()
            raise OperationFailed(
                f"The databases of {self.volume} cannot be held: {words[-300:] or 'it output nothing'}"
            )
        name, why = message
        kind: type[PlatformOpsError] = TransientFailure if "all the time" in why else OperationFailed
        raise kind(
            f"The database {name} of {self.volume} cannot be held as it is: {why}; try again, or give its volume `stop`."
        )

    def beat(self, done: threading.Event) -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            try:
                self._write(b"\n")
            except (OSError, ValueError):
                self.lost.set()
                return

    def require_whole(self) -> None:
        """They were held to this moment: nothing wrote to their files since. Nothing is held after that.

        Raises:
            TransientFailure: the one who held them ended before.
        """
        with suppress(OSError, ValueError):
            self._write(b"end\n")
        message = None if self.lost.is_set() else _sentence(self.program)
        if isinstance(message, list):
            raise TransientFailure(
                f"The database {message[0]} of {self.volume} is not the one that was held: {message[1]} while it was read. Start again."
            )
        if message != "whole":
            raise TransientFailure(
                "The databases of the volume were not held to the end of the copy: what held them was ended. Start again."
            )

    def _write(self, data: bytes) -> None:
        assert self.program.stdin is not None  # noqa: S101 - it was asked for
        with self._talks:
            self.program.stdin.write(data)
            self.program.stdin.flush()


@contextmanager
def holding(sandbox: Sandbox, volume: str, databases: Sequence[Database]) -> Iterator[Hold | None]:
    """What is going to hold databases in WAL mode as they are, once `take` is said; none to hold: None."""
    if not databases:
        yield None
        return
    argv, binds = sandbox.python_argv("hold", str(LEASE_SECONDS), str(TRIES_SECONDS))
    with sandbox.stream("hold", argv, (filling(volume),), FILL, binds=binds, stdin=True) as program:
        hold, done = Hold(program, volume, databases), threading.Event()
        beat = threading.Thread(target=hold.beat, args=(done,), name="heartbeat", daemon=True)
        beat.start()
        try:
            yield hold
        finally:
            done.set()
            beat.join()


def _sentence(program: Program, seconds: float = ANSWER_SECONDS) -> object:
    """What it says in one line; None where it ends without one."""
    try:
        return json.loads(answer_of(program, seconds).decode("utf8", "replace"))
    except ValueError:
        return None
