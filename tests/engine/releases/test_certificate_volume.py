"""The volume of a certificate: whatever command of its scripts is the last, nginx finds a whole pair."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.compose.docker import Docker
from engine.compose.model import Model
from engine.errors import ConfigurationError, OperationFailed
from engine.hosts.machine import Local
from engine.nginx.self_signed import self_signed
from engine.nginx.upstreams import FOLDER, SSL_FOLDER
from engine.releases.certificate_volume import CertificateVolume, certificate_volume
from engine.releases.rollout.placing import Placing

OLD, BEFORE, NEW, LATER = (self_signed((f"{name}.example.test",)) for name in ("old", "before", "new", "later"))
_QUICK = "sync() { :; }\n"
_KILLED = """set -T; n=0; trap 'n=$((n+1)); [ "$n" -ne %d ] || kill -9 $$' DEBUG
"""


@dataclass(frozen=True)
class InFolder(CertificateVolume):
    """The same scripts on a folder; before command number `dies` the shell is killed."""

    folder: Path = Path()
    dies: int = 0

    def _run(self, script: str, *words: str, stdin: bytes | None = None) -> bytes:
        text = (_KILLED % self.dies if self.dies else "") + _QUICK + script.replace("/ssl", str(self.folder))
        argv = ("bash" if self.dies else "sh", "-c", text, "sh", *words)
        done = subprocess.run(argv, input=stdin, capture_output=True)
        if done.returncode:
            raise OperationFailed(f"{done.returncode} {done.stderr.decode()}")
        return done.stdout


def a_volume(folder: Path, dies: int = 0) -> InFolder:
    return InFolder(Docker(Local()), "", "", "0", folder=folder, dies=dies)


def copied(volume: InFolder, folder: Path) -> InFolder:
    shutil.copytree(volume.folder, folder, symlinks=True)
    return a_volume(folder)


def done_or_killed(work: Callable[[], None]) -> bool:
    """Whether it came to its end."""
    try:
        work()
    except OperationFailed as killed:
        assert str(killed).startswith("-9"), killed
        return False
    return True


def names_of(volume: InFolder) -> tuple[bytes, bytes]:
    """What nginx would read."""
    return (volume.folder / "fullchain.pem").read_bytes(), (volume.folder / "privkey.pem").read_bytes()


def ours(volume: InFolder) -> None:
    """A pair that was installed, and one before it."""
    for identity, pair in (("before", BEFORE), ("old", OLD)):
        volume.place(identity, *pair)
        volume.switch(identity)


def by_hand(volume: InFolder) -> None:
    """Plain files, in a volume that had a pair of ours."""
    ours(volume)
    for name, data in zip(("fullchain.pem", "privkey.pem"), OLD, strict=True):
        (volume.folder / name).unlink()
        (volume.folder / name).write_bytes(data)


def plain(volume: InFolder) -> None:
    for name, data in zip(("fullchain.pem", "privkey.pem"), OLD, strict=True):
        (volume.folder / name).write_bytes(data)


def linked(volume: InFolder) -> None:
    """As certbot keeps them."""
    (volume.folder / "archive").mkdir()
    for name, data in zip(("fullchain", "privkey"), OLD, strict=True):
        (volume.folder / f"archive/{name}3.pem").write_bytes(data)
        (volume.folder / f"{name}.pem").symlink_to(f"archive/{name}3.pem")


def nothing(volume: InFolder) -> None:
    assert volume.read() is None


def chain_alone(volume: InFolder) -> None:
    (volume.folder / "fullchain.pem").write_bytes(OLD[0])


@pytest.mark.parametrize(
    ("begin", "whole"),
    [(ours, True), (by_hand, True), (plain, True), (linked, True), (nothing, False), (chain_alone, False)],
)
def test_killed_before_each_command_of_changing_over(
    tmp_path: Path, begin: Callable[[InFolder], None], whole: bool
) -> None:
    """The next change over ends well all the same, and what was there is the pair before it."""
    start = a_volume(tmp_path / "start")
    start.folder.mkdir()
    begin(start)
    start.place("new", *NEW)
    start.place("later", *LATER)
    for number in range(1, 60):
        volume = copied(start, tmp_path / str(number))
        ended = done_or_killed(lambda: a_volume(volume.folder, number).switch("new"))  # noqa: B023
        assert not whole or names_of(volume) in (OLD, NEW), number
        volume.switch("later")
        assert names_of(volume) == LATER
        if ended:
            break
    held = volume.read()
    assert ended and held is not None and (held.chain, held.key) == LATER and not held.plain
    assert volume.pair(held.previous) == NEW


def test_killed_before_each_command_of_placing_and_of_taking_back(tmp_path: Path) -> None:
    """The pair before is found again, and the one before that is the one before again; killed anywhere it is whole."""
    start = a_volume(tmp_path / "start")
    start.folder.mkdir()
    ours(start)
    for number in range(1, 60):
        volume = copied(start, tmp_path / f"place-{number}")
        ended = done_or_killed(lambda: a_volume(volume.folder, number).place("new", *NEW))  # noqa: B023
        assert names_of(volume) == OLD
        if ended:
            break
    volume.switch("new")
    with pytest.raises(OperationFailed, match="is there already"):
        volume.place("new", *LATER)  # nginx finds it
    volume.discard(["new", "old", "before"])  # what is used stays, and the one before
    changed, ended = volume, False
    for number in range(1, 60):
        volume = copied(changed, tmp_path / f"back-{number}")
        ended = done_or_killed(lambda: a_volume(volume.folder, number).back("old", ""))  # noqa: B023
        assert names_of(volume) in (OLD, NEW)
        if ended:
            break
    held = volume.read()
    assert ended and held is not None and (held.live, held.previous, (held.chain, held.key)) == ("old", "", OLD)
    assert held.spare == ("new",), "what was before was discarded, and the new one stays"


def test_the_trial_sees_what_the_service_mounts() -> None:
    mounts = [
        {"type": "bind", "source": "/srv/platform/run/nginx", "target": FOLDER, "read_only": True},
        {"type": "volume", "source": "nginx-ssl", "target": SSL_FOLDER, "read_only": True},
        {"type": "bind", "source": "/srv/htpasswd", "target": "/etc/nginx/htpasswd", "read_only": True},
        {"type": "volume", "source": "logs", "target": "/var/log/nginx"},
        {"type": "tmpfs", "target": "/tmp"},
    ]
    service = SimpleNamespace(definition={"volumes": mounts, "user": "101"}, image="nginx:1")
    model = SimpleNamespace(services={"nginx": service}, volumes={"nginx-ssl": "small_ssl", "logs": "small_logs"})
    found = certificate_volume(Docker(Local()), cast(Model, model))
    assert found is not None and (found.volume, found.user) == ("small_ssl", "101")
    assert found.others == ("/srv/htpasswd:/etc/nginx/htpasswd:ro", "small_logs:/var/log/nginx")


def test_a_first_certificate_is_for_a_host_that_can_have_one() -> None:
    def made(values: dict[str, str]) -> bytes:
        context: Any = SimpleNamespace(staged=SimpleNamespace(values=values))
        return Placing(context)._self_signed()[0]

    assert made({"PUBLIC_HOST": ""}).startswith(b"-----BEGIN CERTIFICATE")
    with pytest.raises(ConfigurationError, match=r"PUBLIC_HOST is 'bücher.example.test'"):
        made({"PUBLIC_HOST": "bücher.example.test"})
