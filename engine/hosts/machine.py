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
from engine.hosts.base import Completed, Data, Environment, Program
from engine.hosts.endpoints import Endpoint, Tunnel
from engine.hosts.local_input import start_with_input
from engine.hosts.placing import checked, pieces, place
from engine.hosts.processes import ProcessIdentity, running_pids


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

    def run(self, argv: Sequence[str], *, env: Environment, timeout: float, stdin: bytes | None = None) -> Completed:
        try:
            with in_time(), _given(stdin) as given:
                done = subprocess.run(
                    argv, env=_ours(env) | _own(env), stdin=given, capture_output=True, timeout=timeout, check=False
                )
        except OSError as error:
            raise _not_started(argv, error) from None
        return Completed(done.returncode, done.stdout, done.stderr.decode("utf8", "replace"))

    def stream(self, argv: Sequence[str], *, env: Environment, stdin: bool = False) -> Program:
        try:
            if stdin:
                return start_with_input(argv, _ours(env), _own(env))
            return subprocess.Popen(
                argv,
                env=_ours(env) | _own(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        except OSError as error:
            raise _not_started(argv, error) from None

    def put(self, path: str, data: Data, *, mode: int) -> None:
        checked(path, mode)
        place(path, pieces(data), mode)

    def tunnel(self, endpoint: Endpoint, *, from_there: bool) -> Tunnel:
        del from_there
        return Tunnel(endpoint)

    def end_leftovers(self, marks: Mapping[str, str], *, sparing: str = "") -> int:
        del sparing  # of a process 1 that is a server, this machine is not the host
        wanted = {f"{name}={value}".encode() for name, value in marks.items()}
        return sum(_ended(pid, wanted) for pid in running_pids())

    def close(self) -> None:
        """There is nothing to let go of."""


def _ours(env: Environment) -> dict[str, str]:
    """What a program sees of this process's environment: messages are in English."""
    kept = {name: value for name, value in os.environ.items() if name not in env}
    return kept | {"LC_ALL": "C.UTF-8"}


def _own(env: Environment) -> dict[str, str]:
    return {name: value for name, value in env.items() if value is not None}


@contextmanager
def _given(stdin: bytes | None) -> Iterator[int]:
    """All of `stdin` in a file of memory: it is whole before the program starts, whatever becomes of us."""
    if stdin is None:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("stdin", os.MFD_CLOEXEC), "w+b") as file:
        file.write(stdin)
        file.seek(0)
        yield file.fileno()


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
