"""The lock of a source, and what brings its containers back: one container that the engine itself keeps alive.

Its name is the lock: an engine has one container of a name. It lives by our heartbeats, and notes on its own disk what we
stop, before we do. When its input ends (kill -9 of the worker), when no heartbeat came for `LEASE_SECONDS`, when the
longest stop is over, and when the engine or the whole host was restarted in between (`--restart always`), it starts all
of that again and removes itself. So nothing waits for a next run.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engine.compose.docker import Docker
from engine.errors import ConfigurationError, LockedByAnother, OperationFailed, PlatformOpsError, TransientFailure
from engine.hosts.answer import answer_of
from engine.hosts.base import Program
from engine.sources.volumes.sandbox import Sandbox

HEARTBEAT_SECONDS, LEASE_SECONDS = 5.0, 30
PATIENCE_SECONDS = 12.0
"""How long a lock is waited for: that of a run which was killed just now starts what it stopped, and goes."""
OWNER, _TRY = "platform-ops.owner", "platform-ops.try"
_SOCKET = "/run/engine.sock"
_DOCKER = "/tmp/docker"  # noqa: S108 - a place in the container
_KEEP = rf"""
trap "" INT QUIT HUP TERM
name=$1; limit=$2; engine={_DOCKER}; since=0
started=$(cat /keep/started 2>/dev/null)
back() {{
  for round in 1 2 3; do
    left=
    while read -r id; do
      case $started in *"$id"*) continue;; esac
      "$engine" stop "$id" >/dev/null 2>&1 </dev/null  # a stop under way goes on without who asked for it
      if said=$("$engine" start "$id" 2>&1 </dev/null); then
        started="$started $id"; echo "$id" >>/keep/started; continue
      fi
      case $said in *"o such container"*|*"o container with name"*) continue;; esac
      left=1; echo "is trying to start $id: $(echo "$said" | tr "\n" " ")" >&2
    done </keep/stopped
    [ -n "$left" ] || {{ "$engine" rm --force "$name" >/dev/null 2>&1 </dev/null; exit 0; }}
    sleep 1
  done
  exit 1  # the engine starts this again, later each time: a socket that was made anew is seen then
}}
[ ! -e /keep/begun ] || back
"$engine" version >/dev/null </dev/null || exit 1
: >/keep/begun && : >/keep/stopped && echo taken || exit 1
while line=$(timeout -s KILL {LEASE_SECONDS} sh -c 'read -r line && echo "$line"'); do
  case $line in
    "+ "*) [ -s /keep/stopped ] || since=$(date +%s); echo "${{line#+ }}" >>/keep/stopped && sync && echo ok;;
    "- "*) grep -vxF -e "${{line#- }}" /keep/stopped >/keep/still; [ $? -le 1 ] && mv /keep/still /keep/stopped && echo ok;;
  esac
  [ ! -s /keep/stopped ] || [ $(($(date +%s) - since)) -lt "$limit" ] || break
done
back
"""


@dataclass
class Keeper:
    """The lock, while it is held. `require` is asked before what only its holder may do."""

    docker: Docker
    program: Program
    lost: threading.Event = field(default_factory=threading.Event)
    _talks: threading.Lock = field(default_factory=threading.Lock)

    def require(self) -> None:
        """Go on only while it is held.

        Raises:
            TransientFailure: it was lost, and what was stopped has been started.
        """
        if self.lost.is_set() or self.program.poll() is not None:
            raise TransientFailure(
                "What was stopped for the copy has been started again before it was done: the lock was lost, or the "
                "longest stop is over (longest_stop_minutes). Start again."
            )

    def stop(self, ids: Sequence[str]) -> None:
        """Stop these containers; they are started again whatever happens.

        Raises:
            PlatformOpsError: they were not all stopped.
        """
        self._say(f"+ {each}" for each in ids)
        self.docker.call(("docker", "stop", *ids), timeout=900.0)

    def start(self, ids: Sequence[str]) -> None:
        """Start them again. Where that fails they stay noted, and the keeper goes on trying.

        Raises:
            PlatformOpsError: not all were.
        """
        self.docker.call(("docker", "start", *ids), timeout=300.0)
        self._say(f"- {each}" for each in ids)

    def beat(self, done: threading.Event) -> None:
        """Heartbeats, until the run is over."""
        while not done.wait(HEARTBEAT_SECONDS):
            try:
                with self._talks:
                    self._write(b"\n")
            except (OSError, ValueError):
                self.lost.set()
                return

    def _write(self, data: bytes) -> None:
        assert self.program.stdin is not None  # noqa: S101 - it was asked for
        self.program.stdin.write(data)
        self.program.stdin.flush()

    def _say(self, lines: Iterator[str]) -> None:
        for line in lines:
            try:
                with self._talks:
                    self._write(f"{line}\n".encode())
                    answer = answer_of(self.program)
            except (OSError, ValueError):
                answer = b""
            except TransientFailure:
                self.lost.set()
                raise
            if answer != b"ok\n":
                self.lost.set()
                self.require()


def keeper_name(sandbox: Sandbox) -> str:
    """What the container is called that is the lock."""
    return f"platform-ops-volumes-{sandbox.source}"


@contextmanager
def keeping(sandbox: Sandbox, owner: str, limit_seconds: float) -> Iterator[Keeper]:
    """Hold the source's lock; `owner` is what others are told.

    Raises:
        LockedByAnother: somebody else is at it: who, and since when.
    """
    name = keeper_name(sandbox)
    program = _taken(sandbox, name, owner, limit_seconds)
    keeper, done = Keeper(sandbox.docker, program), threading.Event()
    beat = threading.Thread(target=keeper.beat, args=(done,), name="heartbeat", daemon=True)
    beat.start()
    try:
        yield keeper
    finally:
        done.set()
        beat.join()
        with suppress(OSError, ValueError):
            assert program.stdin is not None  # noqa: S101 - it was asked for
            program.stdin.close()  # it starts what is stopped yet, and goes
        _await_end(program)
        _closed(program)


def _taken(sandbox: Sandbox, name: str, owner: str, limit_seconds: float) -> Program:
    shown = json.dumps({"owner": owner, "since": datetime.now(UTC).isoformat(timespec="seconds")})
    own = ("--label", f"{_TRY}={secrets.token_hex(8)}")
    options = ("--restart", "always", "--userns", "host", "--label", f"{OWNER}={shown}", *own)
    engine = _engine(sandbox.docker)
    program = ("sh", "-c", _KEEP, "sh", name, str(int(limit_seconds)))
    argv = sandbox.argv(name, program, engine, (), options)
    at = argv.index("--entrypoint")
    argv = (*argv[:at], "--env", f"DOCKER_HOST=unix://{_SOCKET}", "--env", "HOME=/tmp", *argv[at:])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        started = sandbox.docker.host.stream(argv, env=sandbox.docker.environment, stdin=True)
        try:
            taken = answer_of(started) == b"taken\n"
        except TransientFailure:
            _remove(sandbox.docker, own[1])
            _closed(started)
            raise
        if taken:
            return started
        _remove(sandbox.docker, own[1])
        words = _message(started)
        if "already in use" not in words:
            raise OperationFailed(
                f"{sandbox.docker.host}: the lock of {sandbox.source} cannot be taken: {words[-300:]}"
            )
        _wake(sandbox.docker, name)
        if time.monotonic() > deadline:
            raise LockedByAnother(
                f"{sandbox.source} is locked by {_owner(sandbox.docker, name)}; wait, or look at that run."
            )
        time.sleep(0.5)


def _engine(docker: Docker) -> tuple[str, ...]:
    """The engine's socket and its client, for the container that starts others.

    Raises:
        ConfigurationError: the engine is reached another way.
    """
    found = docker.call(("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")).decode().strip()
    if not found.startswith("unix://"):
        raise ConfigurationError(
            f"The engine{docker.host.note} is reached by {found}; stopping containers for a copy needs its Unix socket: "
            'give runs_on a host with where = "ssh:USER@HOST".'
        )
    client = docker.call(("sh", "-c", 'readlink -f "$(command -v docker)"')).decode().strip()
    return (f"{found.removeprefix('unix://')}:{_SOCKET}", f"{client}:{_DOCKER}:ro")


def _message(program: Program) -> str:
    words = b"".join(program.stderr or ()).decode("utf8", "replace").strip()
    program.wait()
    _closed(program)
    return words or "it said nothing"


def _remove(docker: Docker, label: str) -> None:
    """The container of this label, which the engine would start again and again."""
    with suppress(PlatformOpsError):
        listed = docker.call(("docker", "ps", "--all", "--quiet", "--filter", f"label={label}")).decode().split()
        if listed:
            docker.tried(("docker", "rm", "--force", *listed))


def _wake(docker: Docker, name: str) -> None:
    """One that is there and does not run (its host was restarted) is started: it starts what it has noted, and goes."""
    done = docker.tried(("docker", "inspect", "--format", "{{.State.Running}} {{.State.Restarting}}", name))
    if done.stdout.split() == [b"false", b"false"]:
        docker.tried(("docker", "start", name))


def _owner(docker: Docker, name: str) -> str:
    with suppress(PlatformOpsError, ValueError, KeyError):
        label = docker.call(("docker", "inspect", "--format", f'{{{{index .Config.Labels "{OWNER}"}}}}', name))
        found = json.loads(label)
        message = docker.tried(("docker", "logs", "--tail", "1", name)).stderr.strip()
        trying = (
            f", and {message[-500:]} (`docker rm --force {name}` gives that up)"
            if "is trying to start" in message
            else ""
        )
        return f"{found['owner']} since {found['since']}{trying}"
    return "another run"


def _await_end(program: Program) -> None:
    deadline = time.monotonic() + 30.0
    while program.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if program.poll() is None:
        program.kill()
        program.wait()


def _closed(program: Program) -> None:
    for stream in (program.stdin, program.stdout, program.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.close()
