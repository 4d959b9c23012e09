"""Where volumes are read and filled: a container of nothing but the host's own programs, and the volume.

Images of services may have no `tar` (distroless) or one that loses attributes (busybox). So the container's image is
empty, made here, and the programs are those of the engine's host: its /usr is mounted, read-only. It has no network and
no rights but those that its work needs; its log is off, since its output is the volume.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shlex
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from engine.compose.docker import Docker
from engine.errors import ConfigurationError, CouldNotVerify, PlatformOpsError
from engine.hosts.base import Completed, Program
from engine.hosts.ending import children_spared
from engine.hosts.machine import Local
from engine.sources.volumes.inventory import OURS

SCRATCH = "platform-ops.scratch"
"""The label of a volume that goes with what made it."""
VOLUME = "/volume"
BESIDE = Path(__file__).with_name("beside.py").read_text(encoding="utf8")
READ = ("DAC_READ_SEARCH",)
"""What it takes to read whatever is there."""
FILL = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP")
"""What it takes to make things as they were, whoever owned them."""
_FOLDERS = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/alternatives")
PIPE = "/pipe"
"""Where a program of `Sandbox.piped` finds its end of the pipe."""
_MAKING_SECONDS = 3.0
_TEMPORARY = "/dev/shm"  # noqa: S108 - a private folder is made in it; a service's own /tmp is not the engine's
# The folder is private; the container, whose root may be nobody here, gets the pipe alone. It is opened and gone at once.
# A container that ends without having opened it would leave us waiting: opened `<>` it lets us go on. One that is not
# made yet when we are ended would wait for us: so who is ended has it removed, for as long as its client is there.
_BEGIN = (
    'name=$1 folder=$2; shift 2; mkdir -m 700 -- "$folder" && mkfifo -m 666 -- "$folder/pipe" || exit 1; '
    '( "$@" </dev/null; code=$?; '
    '[ ! -e "$folder" ] || { exec 4<>"$folder/pipe"; rm -rf -- "$folder"; exec 4>&-; }; exit $code ) >&2 & client=$!; '
    'gone() { while kill -0 $client; do docker rm --force "$name"; sleep 0.3; done; }; '
    "trap '(trap \"\" TERM; gone) </dev/null >/dev/null 2>&1 & exit 143' TERM; "
)
_OUTWARDS = '{ rm -rf -- "$folder"; %s; } <"$folder/pipe" & '
_INWARDS = 'exec 3<&0; { rm -rf -- "$folder"; %s <&3; } >"$folder/pipe" & exec 3<&-; '
# What passes the bytes on. On this machine no byte is copied for it, and the pipe holds more at once.
_SPLICE = """
import fcntl, os, signal
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
for end in (0, 1):
    try: fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 1 << 20)
    except OSError: pass
while os.splice(0, 1, 1 << 20): pass
"""
_END = "wait $client; code=$?; wait; exit $code"
_IN_IMAGE = ("usr", "lib", "lib32", "lib64", "bin", "sbin", "etc", "volume", "volumes", "run", "keep", "tmp")
IMAGE = f"platform-ops-nothing:{hashlib.sha256(' '.join(_IN_IMAGE).encode()).hexdigest()[:12]}"
_LOOK = 'for each in "$@"; do [ -e "$each" ] && echo "$each"; done; true'
_PYTHON = "import json, sqlite3, sys; print(json.dumps([sys.executable, sys.base_prefix]))"


def reading(volume: str) -> str:
    """How a volume is mounted that is read. `nocopy`: an engine gives an empty one the owner of the folder it is put on."""
    return f"{volume}:{VOLUME}:ro,nocopy"


def filling(volume: str) -> str:
    """How a volume is mounted that is written to."""
    return f"{volume}:{VOLUME}:nocopy"


def go(program: Program) -> None:
    """Let a program that waits begin (see `Sandbox.piped`)."""
    assert program.stdin is not None  # noqa: S101 - it was asked for
    with suppress(OSError, ValueError):  # it has ended: reading from it says why
        program.stdin.write(b"go\n")
        program.stdin.flush()


@dataclass
class Sandbox:
    """The containers of one source's work on an engine."""

    docker: Docker
    source: str
    _ready: list[bool] = field(default_factory=list)

    @cached_property
    def _binds(self) -> tuple[str, ...]:
        """The host's programs. Its own C library comes with them, whatever the distribution."""
        found = self.docker.call(("sh", "-c", _LOOK, "sh", *_FOLDERS)).decode().split()
        return tuple(word for path in found for word in ("--volume", f"{path}:{path}:ro"))

    @cached_property
    def tar(self) -> str:
        """The host's GNU tar.

        Raises:
            ConfigurationError: it has none.
        """
        done = self.docker.tried(("sh", "-c", "command -v tar && tar --version"))
        path, _, version = done.stdout.decode("utf8", "replace").partition("\n")
        if "GNU tar" not in version:
            where = self.docker.host.note or " on this machine"
            raise ConfigurationError(f"There is no GNU tar{where}, which reads and fills volumes; install it there.")
        return path.strip()

    @cached_property
    def python(self) -> tuple[str, tuple[str, ...]] | None:
        """The host's Python with SQLite and the folder it is in; None where it has none."""
        tried = ["/usr/bin/python3", "python3", *([sys.executable] if isinstance(self.docker.host, Local) else [])]
        for program in tried:
            with suppress(PlatformOpsError, ValueError):
                done = self.docker.tried((program, "-I", "-c", _PYTHON))
                if done.code == 0:
                    path, prefix = json.loads(done.stdout)
                    if path.startswith("/usr/"):
                        return path, ()
                    return f"{prefix}/bin/python3", ("--volume", f"{prefix}:{prefix}:ro")
        return None

    def python_argv(self, *arguments: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What runs `beside.py` with these arguments, and what has to be mounted for it.

        Raises:
            ConfigurationError: the host has no Python.
        """
        if self.python is None:
            where = self.docker.host.note or " on this machine"
            raise ConfigurationError(f"There is no python3 with sqlite3{where}; install it there.")
        path, binds = self.python
        return (path, "-I", "-c", BESIDE, *arguments), binds

    def name(self, what: str) -> str:
        """A name that nothing else has."""
        return f"platform-ops-{self.source.replace('/', '-')}-{what}-{secrets.token_hex(4)}"

    def argv(
        self,
        name: str,
        program: Sequence[str],
        mounts: Sequence[str],
        rights: Sequence[str] = (),
        options: Sequence[str] = ("--rm", "--read-only", "--log-driver", "none"),
    ) -> tuple[str, ...]:
        """What starts a program there. `mounts` are `--volume` arguments, `rights` capabilities."""
        self._prepare()
        volumes = tuple(word for mount in mounts for word in ("--volume", mount))
        added = tuple(word for right in rights for word in ("--cap-add", right))
        alone = ("--network", "none", "--user", "0:0", "--cap-drop", "ALL", *added)
        safe = ("--security-opt", "no-new-privileges", "--security-opt", "label=disable")
        named = ("--name", name, "--label", f"{OURS}={self.source}", "--env", "LC_ALL=C.UTF-8")
        start = (
            "docker",
            "run",
            "--pull",
            "never",
            "--interactive",
            "--sig-proxy=false",
            *options,
            *named,
            *alone,
            *safe,
        )
        return (*start, *self._binds, *volumes, "--entrypoint", program[0], IMAGE, *program[1:])

    def run(
        self,
        what: str,
        program: Sequence[str],
        mounts: Sequence[str],
        rights: Sequence[str] = (),
        *,
        binds: Sequence[str] = (),
        timeout: float = 3600.0,
    ) -> Completed:
        """Run a small program there to its end.

        Raises:
            OperationFailed: the engine does not start it.
        """
        name = self.name(what)
        argv = self._with_binds(self.argv(name, program, mounts, rights), binds)
        try:
            done = self.docker.tried(argv, timeout=timeout)
        finally:
            self.remove(name)
        if done.code in (125, 126, 127):
            raise self.docker.refused(argv, done)
        return done

    @contextmanager
    def stream(
        self,
        what: str,
        program: Sequence[str],
        mounts: Sequence[str],
        rights: Sequence[str] = (),
        *,
        binds: Sequence[str] = (),
        stdin: bool = False,
    ) -> Iterator[Program]:
        """A program there whose bytes are read or written; its container goes with the block."""
        name = self.name(what)
        argv = self._with_binds(self.argv(name, program, mounts, rights), binds)
        with self._started(name, argv, stdin=stdin) as started:
            yield started

    @contextmanager
    def piped(
        self,
        what: str,
        program: Sequence[str],
        mounts: Sequence[str],
        rights: Sequence[str],
        *,
        inwards: bool = False,
        waits: bool = False,
    ) -> Iterator[Program]:
        """A program there that writes its many bytes to `PIPE`, or reads them from it: as stdout, or stdin, of what is
        yielded. They go from kernel to kernel; through the engine they would be copied four times, at a fifth of the rate.

        `waits`: it is started, and begins with its work when it hears `go`.
        """
        name = self.name(what)
        folder = f"{_TEMPORARY}/{name}"
        argv = self.argv(name, program, (*mounts, f"{folder}/pipe:{PIPE}"), rights)
        passed = _INWARDS if inwards else ("read -r go; " if waits else "") + _OUTWARDS
        local = isinstance(self.docker.host, Local)
        passing = shlex.join((sys.executable, "-I", "-S", "-c", _SPLICE)) if local else "cat"
        script = ("sh", "-c", f"{_BEGIN}{passed % passing}{_END}", "sh", name, folder)
        with self._started(name, (*script, *argv), stdin=inwards or waits) as started:
            yield started

    @contextmanager
    def _started(self, name: str, argv: Sequence[str], *, stdin: bool) -> Iterator[Program]:
        started = self.docker.host.stream(argv, env=self.docker.environment, stdin=stdin)
        try:
            yield started
        finally:
            if ended_early := started.poll() is None:
                started.kill()
                started.wait()
            if started.stdin is not None:
                with suppress(OSError, ValueError):
                    started.stdin.close()
            if ended_early:
                self._remove_made(name)
            else:
                self.remove(name)

    def remove(self, *names: str) -> None:
        """Containers of ours, whatever they do; where the engine is away the next run's sweep removes them."""
        with suppress(PlatformOpsError):
            self.docker.tried(("docker", "rm", "--force", "--volumes", *names))

    def _remove_made(self, name: str) -> None:
        """A container whose client was ended: the engine may be making it yet."""
        deadline = time.monotonic() + _MAKING_SECONDS
        with suppress(PlatformOpsError):
            while "o such container" in self.docker.tried(("docker", "rm", "--force", "--volumes", name)).stderr:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.2)

    def left(self) -> tuple[str, ...]:
        """Names of the containers that killed runs left; the caller holds the lock."""
        filters = ("--filter", f"label={OURS}={self.source}", "--format", "{{.Names}}")
        return tuple(self.docker.call(("docker", "ps", "--all", *filters)).decode().split())

    @contextmanager
    def scratch(self, what: str, *labels: str) -> Iterator[str]:
        """An empty volume that nobody else mounts; it goes with the block."""
        name = self.name(what)
        self.docker.call(("docker", "volume", "create", *self.mark(SCRATCH, *labels), name))
        try:
            yield name
        finally:
            with children_spared(), suppress(PlatformOpsError):
                self.docker.tried(("docker", "volume", "rm", "--force", name))

    def require(self, volume: str) -> None:
        """A volume of ours is still the one that was filled: an engine makes an empty one where a container asks for one
        that is gone.

        Raises:
            CouldNotVerify: it was removed.
        """
        done = self.docker.tried(("docker", "volume", "inspect", "--format", "{{json .Labels}}", volume))
        if done.code != 0 or OURS not in done.stdout.decode():
            raise CouldNotVerify(f"The volume {volume} was removed by somebody while it was compared; start again.")

    def mark(self, *more: str) -> tuple[str, ...]:
        """Labels of a volume of ours."""
        return tuple(word for label in (f"{OURS}={self.source}", *more) for word in ("--label", label))

    def sweep_containers(self, *sparing: str) -> None:
        """Remove the containers that a killed run left; only the lock's holder may."""
        left = [name for name in self.left() if name not in sparing]
        if left:
            self.remove(*left)

    def sweep_volumes(self) -> None:
        """The scratch volumes too."""
        filters = ("--filter", f"label={OURS}={self.source}", "--filter", f"label={SCRATCH}")
        if names := self.docker.call(("docker", "volume", "ls", "--quiet", *filters)).decode().split():
            self.docker.tried(("docker", "volume", "rm", "--force", *names))

    @staticmethod
    def _with_binds(argv: tuple[str, ...], binds: Sequence[str]) -> tuple[str, ...]:
        at = argv.index("--entrypoint")
        return (*argv[:at], *binds, *argv[at:])

    def _prepare(self) -> None:
        """The empty image is in this engine."""
        if self._ready:
            return
        if self.docker.tried(("docker", "image", "inspect", IMAGE)).code != 0:
            self.docker.call(("docker", "import", "-", IMAGE), stdin=_nothing())
        self._ready.append(True)


def _nothing() -> bytes:
    """Folders to mount things on, and one to keep notes in."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in _IN_IMAGE:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    return buffer.getvalue()
