"""This machine as a host."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import OperationFailed, TransientFailure, out_of
from engine.hosts.base import Done, Program, Route
from engine.hosts.processes import ProcessIdentity, running_pids


def tool_environment(**extra: str) -> dict[str, str]:
    """The environment of a client program: ours without libpq's variables, messages in English."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8", **extra}


@contextmanager
def in_time() -> Iterator[None]:
    """For a block that gives a program a time limit.

    Raises:
        TransientFailure: it took longer.
    """
    try:
        yield
    except subprocess.TimeoutExpired as error:
        program = error.cmd if isinstance(error.cmd, str) else error.cmd[0]
        raise TransientFailure(
            f"{program} took longer than {error.timeout:.0f} s and was ended; look at locks and load."
        ) from None


@dataclass(frozen=True, slots=True)
class Local:
    """Programs run here, as children of this process."""

    crosses_network = False
    image = None
    note = ""

    def __str__(self) -> str:
        return "this machine"

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], timeout: float) -> Done:
        try:
            with in_time():
                done = subprocess.run(
                    argv,
                    env=tool_environment(**env),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=timeout,
                    check=False,
                )
        except OSError as error:
            raise _not_started(argv, error) from None
        return Done(done.returncode, done.stdout, done.stderr.decode("utf8", "replace"))

    def stream(self, argv: Sequence[str], *, env: Mapping[str, str]) -> Program:
        try:
            return subprocess.Popen(
                argv,
                env=tool_environment(**env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        except OSError as error:
            raise _not_started(argv, error) from None

    def route(self, host: str, port: int, *, trusted: bool) -> Route:
        del trusted
        return Route({"host": host, "port": str(port)})

    def end_leftovers(self, marks: Mapping[str, str]) -> int:
        wanted = {f"{name}={value}".encode() for name, value in marks.items()}
        return sum(_ended(pid, wanted) for pid in running_pids())

    def close(self) -> None:
        """There is nothing to let go of."""


def _not_started(argv: Sequence[str], error: OSError) -> OperationFailed:
    return out_of(error) or OperationFailed(
        f"{argv[0]} cannot be started: {error.strerror}; install it or correct `tools`."
    )


def _ended(pid: int, wanted: set[bytes]) -> bool:
    identity = ProcessIdentity.of(pid)
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    if identity is None or not wanted <= set(environment) or not _same_namespaces(pid):
        return False
    return identity.send(signal.SIGKILL)


def _same_namespaces(pid: int) -> bool:
    """A process of a container means another server by the same address."""
    try:
        return all(
            Path(f"/proc/{pid}/ns/{kind}").readlink() == Path(f"/proc/self/ns/{kind}").readlink()
            for kind in ("net", "mnt")
        )
    except OSError:
        return False
