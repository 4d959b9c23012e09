"""What goes wrong while a volume is copied or restored: what was stopped runs again, and nothing half-done is seen."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.compose.docker import Docker
from engine.config.settings import FolderStore
from engine.repository.keys import SetKey, new_set_id
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.sources.volumes import backup
from engine.sources.volumes.backup import VolumeBackup
from engine.sources.volumes.kinds import VolumeFacts
from engine.sources.volumes.sandbox import IMAGE
from engine.stores.opening import open_store
from tests.engine.hosts.parts import program
from tests.engine.sources.volumes.scene import Engine, Kept, going, in_process, kept, until
from tests.engine.sources.volumes.test_tar_reader import HOSTILE
from tests.faults.test_full_disks import _mounted

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("volumes")]


RELAY = """
import socket, socketserver, sys, threading
def copy(source, sink):
    while data := source.recv(1 << 16):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
class One(socketserver.BaseRequestHandler):
    def handle(self):
        there = socket.socket(socket.AF_UNIX)
        there.connect(sys.argv[2])
        threading.Thread(target=copy, args=(self.request, there)).start()
        copy(there, self.request)
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 100
Server(sys.argv[1], One).serve_forever()
"""


def stopping(engine: Engine, folder: Path) -> tuple[Kept, str, Path]:
    """A site whose volume needs its service stopped, with files that take a while to read."""
    volume = engine.volume()
    service = engine.service(volume.parent.name)
    (volume / "large").write_bytes(os.urandom(1 << 20) * 64)
    return kept(engine, folder, {volume.parent.name: "stop"}), service, volume


def test_kill_9_between_stop_and_start_and_what_was_stopped_runs_again_by_itself(
    engine: Engine, tmp_path: Path
) -> None:
    site, service, _ = stopping(engine, tmp_path)
    with going(site, "backup") as run:
        until(lambda: not engine.running(service))
        run.send_signal(signal.SIGKILL)
        until(lambda: engine.running(service), 20)  # no next run is needed
    until(lambda: engine.ours(site.source) == [])
    assert not [path for path in site.site.files() if path.endswith("manifest.json")]
    [made] = site.run("backup")["stored"]
    assert engine.running(service)
    assert site.site.files() == {f"{made['set_key']}/{name}" for name in
                                 ("manifest.json", "proof.jsonl.gz", "proof-databases.jsonl.gz", "volume.tar.gz")}  # fmt: skip
    assert engine.ours(site.source) == []


def test_kill_9_while_a_service_is_about_to_stop_and_it_runs_in_the_end(engine: Engine, tmp_path: Path) -> None:
    volume = engine.volume()
    service = engine.service(volume.parent.name, stop_signal="TERM")  # which it does not hear: it has ten seconds
    site, before = kept(engine, tmp_path, {volume.parent.name: "stop"}), engine.started(service)
    keeper = f"platform-ops-volumes-{site.source}"
    with going(site, "backup") as run:
        until(lambda: engine("exec", keeper, "cat", "/keep/stopped", check=False))
        run.send_signal(signal.SIGKILL)
        assert engine.running(service)
    until(lambda: keeper not in engine.ours(site.source), 60)
    assert engine.running(service) and engine.started(service) != before


def test_nothing_is_stopped_that_could_not_be_started_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that would be gone when it stops; one whose keeper could not speak to the engine."""
    volume = engine.volume()
    service = engine.service(volume.parent.name, more=("--rm",))
    site = kept(engine, tmp_path / "site", {volume.parent.name: "stop"})
    [failed] = site.run("backup", code=1)["failed"]
    assert f"{service} was started with --rm" in failed["sentence"] and engine.running(service)
    client = tmp_path / "docker"  # as the wrappers of some packages are: it calls what is not in a container
    client.write_text(f'#!/bin/sh\nexec {tmp_path}/docker.real "$@"\n')
    client.chmod(0o755)
    (tmp_path / "docker.real").symlink_to(program("docker"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    answer = site.answer("backup")
    assert answer.code == 1
    assert f"the lock of {site.source} cannot be taken" in answer.problem and "docker.real" in answer.problem
    assert (engine.ours(site.source), engine.running(service)) == ([], True)


def test_kill_9_and_the_engine_s_socket_is_another_one_by_then(engine: Engine, tmp_path: Path) -> None:
    """What watches over the service is started anew by the engine, and sees the new one."""
    site, service, _ = stopping(engine, tmp_path)
    with relayed(tmp_path / "a.sock", engine.socket) as url:
        config = site.site.config.read_text().replace("[stores.", f'[hosts.here]\ndocker_host = "{url}"\n[stores.', 1)
        site.site.config.write_text(config.replace("volumes = {", 'runs_on = "here"\nvolumes = {'))
        with going(site, "backup") as run:
            until(lambda: not engine.running(service))
            os.kill(run.pid, signal.SIGSTOP)
            (tmp_path / "a.sock").unlink()
    with relayed(tmp_path / "a.sock", engine.socket):
        until(lambda: engine.running(service), 40)
        until(lambda: engine.ours(site.source) == [], 40)


@contextmanager
def relayed(path: Path, url: str) -> Iterator[str]:
    """A socket of ours for an engine; its connections end with the block."""
    relay = subprocess.Popen([sys.executable, "-c", RELAY, path, url.removeprefix("unix://")])
    try:
        until(path.exists)
        yield f"unix://{path}"
    finally:
        relay.kill()
        relay.wait()


def test_kill_9_of_all_of_it_and_the_next_run_starts_what_was_stopped(engine: Engine, tmp_path: Path) -> None:
    """As after a restart of the engine or the host: who watches over it is dead too, and its notes are on disk."""
    site, service, _ = stopping(engine, tmp_path)
    keeper = f"platform-ops-volumes-{site.source}"
    with going(site, "backup") as run:
        until(lambda: not engine.running(service))
        run.send_signal(signal.SIGSTOP)
        assert engine("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", keeper) == "always"
        engine("kill", keeper)
        run.send_signal(signal.SIGKILL)
    assert not engine.running(service)
    [made] = site.run("backup")["stored"]
    assert engine.running(service)
    assert made["facts"]["stopped"] == [service]


def test_a_run_that_is_ended_reads_no_further_and_the_service_runs_again(engine: Engine, tmp_path: Path) -> None:
    site, service, volume = stopping(engine, tmp_path)
    piece = os.urandom(1 << 20)
    with (volume / "larger").open("wb") as file:
        for _ in range(3000):
            file.write(piece)
    with going(site, "backup") as run:
        until(lambda: site.site.store.is_dir() and any(site.site.store.rglob(".part-*")))
        assert not engine.running(service)
        began = time.monotonic()
        run.send_signal(signal.SIGTERM)
        until(lambda: engine.running(service), 4)
        assert run.wait(10) != 0
        assert time.monotonic() - began < 6
    until(lambda: engine.ours(site.source) == [])
    assert site.site.files() == set()


def test_the_container_that_reads_is_killed_and_the_service_runs_again(engine: Engine, tmp_path: Path) -> None:
    site, service, _ = stopping(engine, tmp_path)
    with going(site, "backup") as run:
        until(lambda: any("-read-" in name for name in engine.ours(site.source)) and not engine.running(service))
        run.send_signal(signal.SIGSTOP)  # more than the pipes hold is to be read yet
        [reader] = [name for name in engine.ours(site.source) if "-read-" in name]
        engine("kill", reader)
        run.send_signal(signal.SIGCONT)
        assert run.wait(60) == 1
        assert run.stderr is not None
        assert b"ended with 137" in run.stderr.read()
    assert engine.running(service)
    assert (site.site.files(), engine.ours(site.source)) == (set(), [])


def test_a_store_that_is_full_and_the_service_runs_again(engine: Engine, tmp_path: Path) -> None:
    site, service, _ = stopping(engine, tmp_path)
    site.site.store.mkdir()
    started = engine.started(service)
    with _mounted(site.site.store, "20m"):
        answer = site.answer("backup")
        assert answer.code == 1
        assert "full" in answer.problem or "No space left" in answer.problem
        assert not [path for path in site.site.files() if path.endswith("manifest.json")]
    assert engine.running(service) and engine.started(service) != started
    assert engine.ours(site.source) == []


def test_a_volume_that_vanished_is_a_failure_and_none_is_made_in_its_place(engine: Engine, tmp_path: Path) -> None:
    name = engine.volume().parent.name
    site = kept(engine, tmp_path, {name: "none"})
    assert site.run("backup")["stored"]
    engine("volume", "rm", name)
    answer = site.answer("backup")
    assert answer.code == 1
    assert f"There is no volume {name} on {site.source}: it was removed, or never made" in answer.problem
    assert name not in engine("volume", "ls", "--quiet").split()


def test_one_that_is_empty_and_was_made_just_before_is_stored(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A millisecond before it was listed, in the same second."""
    folder = engine.volume()
    site = kept(engine, tmp_path, {folder.parent.name: "none"})

    second = int(time.time())
    os.utime(folder, ns=(0, second * 10**9 + 499_000_000))

    def listed(docker: Docker) -> tuple[int, str]:
        return second, "500000000"

    monkeypatch.setattr(backup, "now", listed)
    assert in_process(site, "backup") == 0
    assert len(site.site.files()) == 3


def test_one_that_vanishes_during_a_backup_is_not_stored_as_the_empty_one_an_engine_makes_in_its_place(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = engine.volume().parent.name
    site = kept(engine, tmp_path, {name: "none"})
    reading = VolumeBackup._tar

    def gone_by_then(self: VolumeBackup, **options: Any) -> Any:
        engine("volume", "rm", name)
        return reading(self, **options)

    monkeypatch.setattr(VolumeBackup, "_tar", gone_by_then)
    assert in_process(site, "backup") == 1
    assert f"The volume {name} vanished while it was read; nothing was stored." in capsys.readouterr().err
    assert (site.site.files(), engine.ours(site.source)) == (set(), [])


def test_kill_9_of_a_restore_in_place_and_the_old_one_is_there_and_used(engine: Engine, tmp_path: Path) -> None:
    site, service, volume = stopping(engine, tmp_path)
    name = volume.parent.name
    site.run("backup")
    large = (volume / "large").stat().st_ino
    with going(site, "volume", "restore", name, "--in-place", "--confirm", name) as run:
        until(lambda: any("-fill-" in each for each in engine.ours(site.source)))
        run.send_signal(signal.SIGKILL)
    assert engine.running(service)
    assert (volume / "large").stat().st_ino == large
    until(lambda: not [each for each in engine.ours(site.source) if each.startswith("platform-ops-volumes-")])
    assert len(engine.named(f"{name}-before-")) == 1  # what was being filled
    [made] = site.run("volume", "restore", name, "--in-place", "--confirm", name)["restored"]
    assert engine.named(f"{name}-before-") == [made["kept"]]
    assert (engine.folder(made["kept"]) / "large").stat().st_ino == large
    site.run("backup")  # whose sweep does not take what is kept for what was left
    assert engine.named(f"{name}-before-") == [made["kept"]]


def test_hostile_members_are_refused_by_drill_and_restore(engine: Engine, tmp_path: Path) -> None:
    name = f"po-v-{secrets.token_hex(4)}"
    site = kept(engine, tmp_path, {name: "none"})
    repository = Repository(open_store("nightly", FolderStore(path=str(site.site.store))))
    for what in ("a link alone", "a link and a file behind it"):
        writer = SetWriter(repository, SetKey(site.source, "volume", name, new_set_id(datetime.now(UTC), what)))
        writer.add("volume.tar", HOSTILE[what], "archive")
        writer.add("proof.jsonl", b"", "proof")
        writer.publish(VolumeFacts(volume=name, quiesce="none", files=1, folders=1, bytes=1))
        drilled = site.run("drill", str(writer.key), code=1)
        assert drilled["result"] == "failed"
        assert "it is not unpacked" in drilled["sentence"]
    [failed] = site.run("volume", "restore", name, "--set", str(writer.key), code=1)["failed"]
    assert "it is not unpacked" in failed["sentence"]
    assert engine.named(name) == []


@pytest.mark.parametrize("who", ["another", "the one that was stopped"])
def test_who_writes_between_a_stop_and_a_start_fails_the_set_and_a_second_run_is_told_who_is_at_it(
    engine: Engine, tmp_path: Path, who: str
) -> None:
    """Also one that is gone again by then. The second run leaves the first one its lock."""
    site, service, volume = stopping(engine, tmp_path)
    once, usr = f"po-v-{secrets.token_hex(4)}", ("/usr", "/lib", "/lib64")
    mounts = [word for path in usr for word in ("--volume", f"{path}:{path}:ro")]
    with going(site, "backup") as run:
        until(lambda: not engine.running(service))
        os.kill(run.pid, signal.SIGSTOP)
        answer = site.answer("backup")
        data = ("--volume", f"{volume.parent.name}:/data", "--network", "none")
        if who == "another":
            engine("run", "--rm", "--name", once, *mounts, *data, "--entrypoint", "/usr/bin/true", IMAGE)
        else:
            once = service
            engine("start", service)
            engine("stop", service)
        os.kill(run.pid, signal.SIGCONT)
        message = run.communicate(timeout=60)[1].decode()
    assert answer.code == 4
    assert f"{site.source} is locked by platformctl backup since " in answer.problem
    assert run.returncode == 1
    assert f"{once} was started while {volume.parent.name} was read" in message
    assert (engine.running(service), site.site.files()) == (True, set())


def test_a_drill_whose_container_is_killed_says_nothing_against_its_set(engine: Engine, tmp_path: Path) -> None:
    volume = engine.volume()
    (volume / "large").write_bytes(os.urandom(1 << 20) * 64)
    site = kept(engine, tmp_path, {volume.parent.name: "none"})
    site.run("backup")
    with going(site, "drill", "newest") as run:
        until(lambda: any("-look-" in name for name in engine.ours(f"{site.source}/drill")))
        os.kill(run.pid, signal.SIGSTOP)
        [look] = [name for name in engine.ours(f"{site.source}/drill") if "-look-" in name]
        until(lambda: engine.running(look))
        engine("kill", look)
        os.kill(run.pid, signal.SIGCONT)
        message = run.communicate(timeout=60)[1].decode()
    assert run.returncode == 3, message
    assert "What was unpacked cannot be read: " in message and "ended with 137" in message
