"""Real volumes of a real engine, services that write to them, and a site whose configuration names them.

A service runs this machine's Python in an empty image (the product's own sandbox), so that no image has to be had.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from engine.compose.docker import Docker
from engine.hosts.machine import Local
from engine.sources.volumes.sandbox import IMAGE, Sandbox
from tests.engine.cli.command import COMMAND, Answer
from tests.engine.cli.site import Site, environment
from tests.engine.hosts.engines import DOCKER
from tests.engine.hosts.parts import missing

LABEL = "platform-ops-test-volumes"
SERVICE = """
import os, sqlite3, sys, time, itertools
c = sqlite3.connect("/data/kuma.db", isolation_level=None, timeout=10)
c.execute("PRAGMA journal_mode=%s")
c.execute("CREATE TABLE IF NOT EXISTS beat (n INTEGER PRIMARY KEY, twice INTEGER, at REAL, filling TEXT)")
n = c.execute("SELECT coalesce(max(n), 0) FROM beat").fetchone()[0]
for n in itertools.count(n + 1):
    c.execute("BEGIN IMMEDIATE")
    c.execute("INSERT INTO beat VALUES (?, ?, ?, ?)", (n, 2 * n, time.time(), "x" * 500))
    c.execute("COMMIT")
    time.sleep(%s)
"""
"""A service that writes all the time; each row says twice its number, so that a torn database shows."""


@dataclass
class Engine:
    """A container engine; what is made on it is named `po-v-...` and goes with the test."""

    socket: str = DOCKER
    volumes: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)

    def __call__(self, *words: str, stdin: bytes | None = None, check: bool = True) -> str:
        env = {**os.environ, "DOCKER_HOST": self.socket}
        done = subprocess.run(["docker", *words], env=env, input=stdin, capture_output=True, check=False)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def volume(self, *words: str) -> Path:
        """A new volume; its folder on this machine, whose name but one is the volume's."""
        name = f"po-v-{secrets.token_hex(4)}"
        self("volume", "create", "--label", LABEL, *words, name)
        self.volumes.append(name)
        return self.folder(name)

    def folder(self, name: str) -> Path:
        return Path(self("volume", "inspect", "--format", "{{.Mountpoint}}", name))

    def named(self, part: str) -> list[str]:
        """Names of volumes that begin so; they go with the test too."""
        found = [name for name in self("volume", "ls", "--quiet").split() if name.startswith(part)]
        self.volumes += [name for name in found if name not in self.volumes]
        return found

    def service(self, volume: str, *, mode: str = "WAL", pause: float = 0.002, more: Sequence[str] = (),
                stop_signal: str = "KILL") -> str:  # fmt: skip
        """A container that writes to a database in the volume (or its folder, by path) all the time; its name."""
        name = f"po-v-{secrets.token_hex(4)}"
        self.containers.append(name)
        usr = ("--volume", "/usr:/usr:ro", "--volume", "/lib:/lib:ro", "--volume", "/lib64:/lib64:ro")
        script = SERVICE % (mode, pause)
        self("run", "--detach", "--name", name, "--label", LABEL, "--network", "none", "--init=false", *usr, *more,
             "--stop-signal", stop_signal, "--volume", f"{volume}:/data", "--entrypoint", "/usr/bin/python3", IMAGE, "-c", script)  # fmt: skip
        folder = Path(volume) if "/" in volume else self.folder(volume)
        until(lambda: (folder / "kuma.db").exists())
        return name

    def running(self, name: str) -> bool:
        return self("inspect", "--format", "{{.State.Running}}", name, check=False) == "true"

    def started(self, name: str) -> str:
        return self("inspect", "--format", "{{.State.StartedAt}}", name)

    def ours(self, source: str) -> list[str]:
        """What the product's containers of a source are called."""
        labels = ("--filter", f"label=platform-ops.volumes={source}")
        return self("ps", "--all", *labels, "--format", "{{.Names}}").split()

    def clear(self) -> None:
        for name in self.containers:
            self("rm", "--force", name, check=False)
        for name in self.volumes:
            self("volume", "rm", "--force", name, check=False)


@dataclass
class Kept:
    """A site whose source keeps volumes of an engine."""

    engine: Engine
    site: Site
    source: str

    def run(self, *arguments: str, code: int = 0) -> Any:
        answer = self.answer(*arguments)
        assert answer.code == code, answer.stderr
        return answer.document["result"]

    def answer(self, *arguments: str) -> Answer:
        return self.site.run("--json", *arguments)

    def archive(self, set_key: str) -> Path:
        return self.site.store / set_key / "volume.tar.gz"


@contextmanager
def engine_at(url: str = DOCKER) -> Iterator[Engine]:
    engine = Engine(url)
    try:
        engine("version")
        Sandbox(Docker(Local(), url), "test")._prepare()
    except (AssertionError, OSError) as error:
        missing(f"no container engine answers at {url}: {error}")
    try:
        yield engine
    finally:
        engine.clear()


def kept(engine: Engine, folder: Path, volumes: dict[str, str], more: str = "", hosts: str = "") -> Kept:
    """A site of its own in `folder`: how each volume comes to rest, by its name."""
    source = f"v-{secrets.token_hex(3)}"
    site = Site(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = ", ".join(f'"{name}" = "{how}"' for name, how in volumes.items())
    site.config.write_text(
        f'[volumes.{source}]\nstore = "nightly"\nproject = "{source}"\nvolumes = {{{table}}}\n{more}\n'
        f'{hosts}\n[stores.nightly]\nkind = "folder"\npath = "{site.store}"\n'
    )
    return Kept(engine, site, source)


@contextmanager
def going(site: Kept, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`platformctl` at work."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=site.site.folder,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(true: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait for it; what it is then."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return found


def odd_things(folder: Path) -> None:
    """What a file system can hold, as odd as it gets."""
    folder.chmod(0o2750)
    (folder / "d").mkdir()
    (folder / "d" / "a").write_text("hi")
    (folder / "d" / "a").chmod(0o4711)
    os.link(folder / "d" / "a", folder / "d" / "hard")
    (folder / "d" / "up").symlink_to("../x")
    (folder / "absolute").symlink_to("/app/data/x")
    os.mkfifo(folder / "pipe")
    with (folder / "sparse").open("wb") as file:
        for at in (0, 5 << 20, 30 << 20):
            file.seek(at)
            file.write(b"here")
        file.truncate(40 << 20)
    names: list[bytes] = [b"la\xe9tin", b"new\nline", "한글".encode(), b"-rf", b" ", b"l" * 250, b"*", b"back\\slash"]
    for name in names:
        path = os.path.join(os.fsencode(folder), name)
        with open(path, "wb") as file:
            file.write(name)
        os.chown(path, 1234, 4321)
        os.utime(path, ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    deep = folder
    for _ in range(60):
        deep = deep / "deeper"
        deep.mkdir()
    (deep / "end").write_bytes(os.urandom(3000))
    os.setxattr(folder / "d" / "a", "user.hello", b"wor\nld\0")
    os.setxattr(folder / "d" / "a", "security.capability", bytes.fromhex("0100000200040000" + "00" * 12))
    acl = bytes.fromhex("0200000001000600ffffffff02000700d204000004000400ffffffff10000700ffffffff20000000ffffffff")
    os.setxattr(folder / "d", "system.posix_acl_access", acl)
    os.setxattr(folder / "d", "system.posix_acl_default", acl)
    (folder / "empty").touch()
    server = socket.socket(socket.AF_UNIX)
    here = os.open(folder, os.O_RDONLY)
    server.bind(f"/proc/self/fd/{here}/socket")
    server.close()
    os.close(here)


def tree(folder: Path) -> dict[str, Any]:
    """All of a folder that is kept, by path: what `lstat` and the rest say, without what cannot be set."""
    found: dict[str, Any] = {}
    inodes: dict[int, str] = {}
    for where, folders, names in os.walk(os.fsencode(folder)):
        for name in [b".", *folders, *names] if where == os.fsencode(folder) else [*folders, *names]:
            path = os.path.join(where, name)
            reported = os.lstat(path)
            short = os.fsdecode(os.path.relpath(path, os.fsencode(folder)))
            kind = reported.st_mode
            if kind & 0o170000 == 0o140000:
                continue  # a socket is of the program that listens
            entry: dict[str, Any] = {
                "mode": kind,
                "owner": (reported.st_uid, reported.st_gid),
                "mtime": reported.st_mtime_ns,
            }
            entry["xattrs"] = {
                each: os.getxattr(path, each, follow_symlinks=False)
                for each in os.listxattr(path, follow_symlinks=False)
            }
            if kind & 0o170000 == 0o120000:
                entry["link"] = os.readlink(path)
            if kind & 0o170000 == 0o100000:
                with open(path, "rb") as file:
                    entry["contents"] = file.read()
                entry["first"] = inodes.setdefault(reported.st_ino, short)
            found[short] = entry
    return found


def database(path: Path) -> tuple[str, int]:
    """What SQLite says of a service's database, and how many rows it has."""
    import sqlite3

    with sqlite3.connect(path) as one:
        (message,) = one.execute("PRAGMA integrity_check").fetchone()
        (wrong,) = one.execute("SELECT count(*) FROM beat WHERE twice <> 2 * n").fetchone()
        first, last, count = one.execute("SELECT min(n), max(n), count(*) FROM beat").fetchone()
    assert (wrong, last - first + 1) == (0, count)
    return message, count


def longest_pause(path: Path, since: float = 0.0) -> float:
    """Between two rows that a service wrote since then (epoch), in seconds."""
    import sqlite3

    with sqlite3.connect(path) as one:
        times = [float(at) for (at,) in one.execute("SELECT at FROM beat WHERE at >= ? ORDER BY n", (since,))]
    return max(later - earlier for earlier, later in pairwise(times))


def in_process(site: Kept, *arguments: str) -> int:
    """`platformctl` in this process, whose parts a test may hold up; its exit code."""
    from engine.cli import main

    return main(["--json", "--config", str(site.site.config), *arguments])
