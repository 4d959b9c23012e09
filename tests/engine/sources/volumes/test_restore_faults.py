"""A restore in place that something comes between: what was there is never lost, and what is there is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.sources.volumes.restore import VolumeRestore
from engine.sources.volumes.stop import Stop
from tests.engine.sources.volumes.scene import Engine, database, in_process, kept, until

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("volumes")]


def test_a_service_that_is_started_in_between_never_writes_to_what_is_kept(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """By an operator, by compose, or by the lock's own container after its longest stop. One mounts the folder by its path."""
    folder = engine.volume()
    name = folder.parent.name
    service = engine.service(str(folder))
    site = kept(engine, tmp_path, {name: "stop"})
    [made] = site.run("backup")["stored"]
    assert made["facts"]["stopped"] == [service]
    inode = folder.stat().st_ino
    stopped, exchanged = Stop.__enter__, VolumeRestore._exchange

    def too_early(self: Stop) -> Stop:
        found = stopped(self)
        engine("start", service)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Stop, "__enter__", too_early)
        assert in_process(site, "volume", "restore", name, "--in-place", "--confirm", name) == 1
    assert f"{service} was started while {name} was to be replaced: nothing was" in capfd.readouterr().err
    assert (folder.stat().st_ino, engine.named(f"{name}-before-")) == (inode, [])

    def too_late(self: VolumeRestore, one: str, other: str) -> None:
        engine("start", service)
        exchanged(self, one, other)

    with monkeypatch.context() as patch:
        patch.setattr(VolumeRestore, "_exchange", too_late)
        assert in_process(site, "volume", "restore", name, "--in-place", "--confirm", name) == 0
    [before] = engine.named(f"{name}-before-")
    at_first = database(folder / "kuma.db")[1]
    until(lambda: database(folder / "kuma.db")[1] > at_first)
    engine("stop", service)
    assert engine.folder(before).stat().st_ino == inode


def test_a_service_that_does_not_start_any_more_is_said_and_what_was_replaced_too(
    engine: Engine, tmp_path: Path
) -> None:
    """It is tried for as long as it takes, also by a container that the engine starts anew; others are told why they wait."""
    needed, volume = tmp_path / "needed", engine.volume()
    needed.mkdir()
    name = volume.parent.name
    service = engine.service(name, more=("--mount", f"type=bind,source={needed},target=/needed"))
    site, inode = kept(engine, tmp_path / "site", {name: "stop"}), volume.stat().st_ino
    site.run("backup")
    needed.rmdir()
    [failed] = site.run("volume", "restore", name, "--in-place", "--confirm", name, code=1)["failed"]
    [before] = engine.named(f"{name}-before-")
    assert f"{name} was replaced, and what was there is kept as {before}; but then: " in failed["sentence"]
    assert engine.folder(before).stat().st_ino == inode
    answer = site.answer("backup")
    assert answer.code == 4
    assert "locked by platformctl" in answer.problem and "is trying to start" in answer.problem
    assert "needed" in answer.problem
    needed.mkdir()
    until(lambda: engine.running(service), 60)
    until(lambda: engine.ours(site.source) == [])


def test_a_volume_that_is_made_while_its_set_is_unpacked_is_not_touched(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """By compose on a host that is new, say: what its service has written since is all there is."""
    volume = engine.volume()
    name = volume.parent.name
    (volume / "a").write_text("a")
    site = kept(engine, tmp_path, {name: "none"})
    site.run("backup")
    engine("volume", "rm", name)
    filled = VolumeRestore._filled

    def meanwhile(self: VolumeRestore, *args: Any) -> Any:
        found = filled(self, *args)
        engine("volume", "create", name)
        (engine.folder(name) / "b").write_text("b")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(VolumeRestore, "_filled", meanwhile)
        assert in_process(site, "volume", "restore", "--all", "--in-place") == 1
    assert f"Somebody made a volume {name}" in capfd.readouterr().err
    assert [each.name for each in engine.folder(name).iterdir()] == ["b"]
    assert engine.named(name) == [name]


def test_kill_9_on_an_empty_host_leaves_no_empty_volume_for_the_one_that_was_restored(
    engine: Engine, tmp_path: Path
) -> None:
    """And none that looks as if it were the one of before."""
    volume = engine.volume("--label", "its=own")
    name = volume.parent.name
    (volume / "a").write_text("a")
    site = kept(engine, tmp_path, {name: "none"})
    site.run("backup")
    engine("volume", "rm", name)
    labels = ("--label", f"platform-ops.volumes={site.source}")
    scratch = ("--label", "platform-ops.scratch", "--label", f"platform-ops.for={name}")
    engine("volume", "create", *labels, *scratch, f"{name}-scratch")
    engine("volume", "create", "--label", "its=own", name)
    engine("volume", "create", *labels, "--label", f"platform-ops.kept={name}", f"{name}-before-20260101T000000Z")
    site.run("backup", code=1)  # what is empty is not stored as if it were good: it is gone
    site.run("volume", "restore", "--all", "--in-place")
    assert (engine.folder(name) / "a").read_text() == "a"
    assert engine.named(name) == [name]
