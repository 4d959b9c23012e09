"""The same over SSH, and with Podman: an engine is an engine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.hosts.opening import close_hosts
from engine.streams.spool import temporary_base
from tests.engine.hosts.engines import podman_service
from tests.engine.hosts.sshd import running_sshd
from tests.engine.sources.volumes.scene import Engine, database, engine_at, kept, odd_things, tree

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("volumes")]


@pytest.fixture
def podman() -> Iterator[Engine]:
    folder = Path(tempfile.mkdtemp(prefix="po-v-", dir=temporary_base()))
    try:
        with podman_service(folder) as url, engine_at(url) as engine:
            yield engine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_over_ssh(engine: Engine, tmp_path: Path) -> None:
    folder = engine.volume()
    name = folder.parent.name
    odd_things(folder)
    service = engine.service(name)
    with running_sshd(tmp_path / "sshd") as sshd:
        host = f'[hosts.far]\nwhere = "{sshd.where}"\nssh_key = "{sshd.key}"\nssh_known_hosts = "{sshd.known_hosts}"\n'
        site = kept(engine, tmp_path / "site", {name: "stop"}, 'runs_on = "far"', host)
        [made] = site.run("backup")["stored"]
        assert made["facts"]["stopped"] == [service]
        assert engine.running(service)
        assert site.run("drill", "newest")["result"] == "passed"
        [there] = site.run("volume", "restore", name, "--in-place", "--confirm", name)["restored"]
        engine.named(f"{name}-")
        assert engine.running(service)
        engine("stop", service)
        assert database(folder / "kuma.db")[0] == "ok"
        assert tree(folder)["d/a"] == tree(engine.folder(there["kept"]))["d/a"]
        close_hosts()


def test_with_podman(podman: Engine, tmp_path: Path) -> None:
    folder = podman.volume()
    name = folder.parent.name
    odd_things(folder)
    before = tree(folder)
    service = podman.service(name)
    host = f'[hosts.pod]\nwhere = "local"\ndocker_host = "{podman.socket}"\n'
    site = kept(podman, tmp_path, {name: "stop"}, 'runs_on = "pod"', host)
    [made] = site.run("backup")["stored"]
    assert made["facts"]["stopped"] == [service]
    assert podman.running(service)
    assert site.run("drill", "newest")["result"] == "passed"
    site.run("volume", "restore", name, "--in-place", "--confirm", name)
    podman.named(f"{name}-")
    assert podman.running(service)
    podman("stop", service)
    assert database(folder / "kuma.db")[0] == "ok"
    after = tree(folder)
    assert {path: after[path] for path in before if path not in (".", "kuma.db")} == {
        path: one for path, one in before.items() if path not in (".", "kuma.db")
    }
    assert podman.ours(site.source) == []
