"""Docker's engine goes away, or the disk is full, in the middle of a deploy: nothing is lost, and the next run puts it right."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest

from engine.errors import PlatformOpsError
from engine.hosts.settings import HostSettings
from engine.progress import silent
from engine.sources.postgres.scratch.socket_and_port import free_port
from engine.steps import InShell, Step
from tests.engine.hosts.parts import missing
from tests.engine.releases.small_platform import SmallPlatform, small_platform

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("releases")]
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Breaking(InShell):
    """Lets something happen before the first step whose title begins so."""

    title: str
    happen: Callable[[], None]
    happened: list[str] = field(default_factory=list)

    def run(self, step: Step[_Made]) -> _Made:
        if step.title.startswith(self.title) and not self.happened:
            self.happened.append(step.title)
            self.happen()
        return InShell.run(self, step)


@dataclass
class Gate:
    """The engine's socket under another path, which can be closed: nobody is there any more, and open calls end."""

    path: Path
    open: list[socket.socket] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        for each in self.open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect("/var/run/docker.sock")
                self.open += [client, engine]
                self.threads.append(threading.Thread(target=_carry, args=(client, engine)))
                self.threads[-1].start()


def _carry(client: socket.socket, engine: socket.socket) -> None:
    with client, engine:
        back = threading.Thread(target=_pump, args=(engine, client))
        back.start()
        _pump(client, engine)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def gate(folder: Path) -> Iterator[Gate]:
    made = Gate(folder / "docker.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made.path))
        listener.listen(64)
        serving = threading.Thread(target=made.serve, args=(listener,))
        serving.start()
        try:
            yield made
        finally:
            made.close()
            listener.shutdown(socket.SHUT_RDWR)
            serving.join()


def broken(small: SmallPlatform, at: str, happen: Callable[[], None]) -> str:
    """What a deploy says in the middle of which this happens."""
    with pytest.raises(PlatformOpsError) as raised:
        small.change(steps=Breaking(silent, at, happen), kohub_backend="1.1.0")
    return str(raised.value)


def resumed(small: SmallPlatform) -> str:
    run = small.run()
    run.resume(InShell(silent))
    return run.recovered


@pytest.mark.parametrize(
    ("at", "serves"), [("wait until the new", "1.0.0"), ("let nginx send", "1.0.0"), ("stop the old", "1.1.0")]
)
def test_the_engine_goes_away(small: SmallPlatform, tmp_path: Path, at: str, serves: str) -> None:
    with small.under_load(60) as counts:
        with gate(tmp_path) as engine:
            through = replace(small, host=HostSettings(docker_host=f"unix://{engine.path}"))
            message = broken(through, at, engine.close)
            assert "No Docker engine answers" in message
            assert ("platformctl resume" in message) == (serves == "1.0.0"), message
        recovered = resumed(small)
    assert ("it was reverted" if serves == "1.0.0" else "it was finished") in recovered
    assert counts.failures == {}
    assert small.version("kohub-backend") == serves
    assert small.leftovers() == []
    if serves != "1.0.0":
        small.change("rollback")


@pytest.mark.parametrize("at", ["place the files", "let nginx send"])
def test_the_disk_is_full(small: SmallPlatform, tmp_path: Path, at: str) -> None:
    """`small` only for its images. What cannot be written spoils nothing that is there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0755", "small", str(disk)], capture_output=True
    )
    if mounted.returncode:
        missing("no file system can be mounted here")
    try:
        with small_platform(disk, free_port(28_980)) as small:
            small.change()
            filler = disk / "filler"
            with small.under_load(60) as counts:
                message = broken(small, at, lambda: _fill(filler))
                assert "No space left" in message, message
                filler.unlink()
                resumed(small)
            assert counts.failures == {}
            assert small.version("kohub-backend") == "1.0.0"
            assert small.leftovers() == []
            small.change(kohub_backend="1.1.0")
            assert small.version("kohub-backend") == "1.1.0"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
