"""A file is placed whole and of its mode, or not at all: on every kind of host."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError
from engine.hosts.base import Data
from engine.hosts.machine import Local
from engine.hosts.placing import not_placed, pieces
from tests.engine.hosts.away import eventually
from tests.engine.hosts.conftest import CONTAINERS
from tests.engine.hosts.host_folder import HostFolder, word
from tests.engine.hosts.parts import lines_about

DATA = os.urandom((3 << 20) + 5)
HOSTILE = ["a b", "it's", 'say "x"', "$(touch x)", "`id`", "-rf", "--", "*", "ümlaut", "a\\b", ".hidden", "a\tb"]


def mode_of(host_folder: HostFolder, name: str) -> str:
    return host_folder.sh('stat -c %a "$1"', f"{host_folder.folder}/{name}").strip()


def bytes_of(host_folder: HostFolder, name: str) -> bytes:
    return host_folder.host.run(("cat", f"{host_folder.folder}/{name}"), env={}, timeout=30).stdout


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400, 0o755, 0o640])
def test_a_file_has_its_bytes_and_its_mode(host_folder: HostFolder, mode: int) -> None:
    host_folder.host.put(f"{host_folder.folder}/file", DATA, mode=mode)
    assert (bytes_of(host_folder, "file") == DATA, mode_of(host_folder, "file")) == (True, f"{mode:o}")
    assert host_folder.names() == ["file"]


def test_what_may_be_given(host_folder: HostFolder) -> None:
    given: dict[str, Data] = {
        "bytes": DATA,
        "pieces": [DATA[:7], b"", DATA[7:]],
        "file": io.BytesIO(DATA),
        "iterator": (piece for piece in (DATA[:100], DATA[100:])),
    }
    for name, data in given.items():
        host_folder.host.put(f"{host_folder.folder}/{name}", data, mode=0o600)
        assert bytes_of(host_folder, name) == DATA, name
    host_folder.host.put(f"{host_folder.folder}/nothing", b"", mode=0o600)
    assert bytes_of(host_folder, "nothing") == b""


def test_what_was_there_is_replaced_in_one_go(host_folder: HostFolder) -> None:
    path = f"{host_folder.folder}/file"
    host_folder.host.put(path, b"old", mode=0o644)

    def pieces_of_new() -> Iterator[bytes]:
        yield b"new"
        assert bytes_of(host_folder, "file") == b"old"

    host_folder.host.put(path, pieces_of_new(), mode=0o600)
    assert (bytes_of(host_folder, "file"), mode_of(host_folder, "file"), host_folder.names()) == (
        b"new",
        "600",
        ["file"],
    )


def test_a_link_is_replaced_and_not_followed(host_folder: HostFolder) -> None:
    host_folder.sh('echo old >"$1/goal"; ln -s goal "$1/link"', host_folder.folder)
    host_folder.host.put(f"{host_folder.folder}/link", b"new", mode=0o600)
    assert (bytes_of(host_folder, "goal"), bytes_of(host_folder, "link")) == (b"old\n", b"new")


def test_a_secret_is_to_nobody_else_while_it_is_written(host_folder: HostFolder) -> None:
    canary = word()
    seen: list[str] = []

    def pieces_and_a_look() -> Iterator[bytes]:
        yield canary.encode()
        eventually(lambda: len(host_folder.names()) == 1, "it is not there")
        seen.append(host_folder.sh('stat -c %a "$1"/.p*', host_folder.folder).strip())
        seen.extend(lines_about(canary))
        yield b"more"

    host_folder.host.put(f"{host_folder.folder}/key", pieces_and_a_look(), mode=0o600)
    assert seen == ["600"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(host_folder: HostFolder, name: str) -> None:
    host_folder.host.put(f"{host_folder.folder}/{name}", b"x", mode=0o600)
    assert (host_folder.names(), bytes_of(host_folder, name)) == ([name], b"x")


@pytest.mark.parametrize("path", ["", "file", "./file", "/tmp/", "/tmp/a\nb", "/tmp/a\0b", "/tmp/..", "/"])
def test_what_is_no_path_of_a_file_is_refused(host_folder: HostFolder, path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^A file cannot be placed at .*; give its whole path, from / on\.$"):
        host_folder.host.put(path, b"x", mode=0o600)


def refused(host_folder: HostFolder, path: str, data: bytes = b"x") -> str:
    with pytest.raises(OperationFailed) as caught:
        host_folder.host.put(path, data, mode=0o600)
    return str(caught.value)


def here(host_folder: HostFolder) -> str:
    return host_folder.host.note or " on this machine"


def test_what_cannot_be_written_says_why(host_folder: HostFolder) -> None:
    lost = f"{host_folder.folder}/no/file"
    assert refused(host_folder, lost) == (
        f"{lost}{here(host_folder)} cannot be written: No such file or directory; make its folder first."
    )
    host_folder.sh('mkdir "$1/folder"', host_folder.folder)
    there = f"{host_folder.folder}/folder"
    assert (
        refused(host_folder, there)
        == f"{there}{here(host_folder)} cannot be written: Is a directory; give the path of a file."
    )
    host_folder.host.put(f"{host_folder.folder}/plain", b"x", mode=0o600)
    under = f"{host_folder.folder}/plain/file"
    assert refused(host_folder, under) == (
        f"{under}{here(host_folder)} cannot be written: Not a directory; give a path whose folder is one."
    )
    assert host_folder.names() == ["folder", "plain"]
    assert refused(host_folder, "/proc/file").startswith(f"/proc/file{here(host_folder)} cannot be written: ")


def test_what_a_shell_says_when_it_starts_is_not_the_reason() -> None:
    said = "rm: cannot remove '/root/.tool/lock': No such file or directory\nIs a directory\n"
    assert str(not_placed("/a/file", " on ours", said)) == (
        "/a/file on ours cannot be written: Is a directory; give the path of a file."
    )


@pytest.mark.parametrize("host_folder", CONTAINERS, indirect=True)
def test_a_folder_of_another_user_and_a_disk_that_is_full(host_folder: HostFolder) -> None:
    assert refused(host_folder, "/bin/file") == (
        f"/bin/file{here(host_folder)} cannot be written: Permission denied; let this user write to its folder."
    )
    assert refused(host_folder, "/small/file", DATA) == (
        f"/small/file{here(host_folder)} cannot be written: No space left on device; free space there."
    )
    assert host_folder.sh("ls -A /small") == ""


def test_pieces_are_small_whatever_is_given() -> None:
    assert list(pieces(b"")) == []
    assert [len(piece) for piece in pieces(bytes((1 << 20) + 1))] == [1 << 20, 1]
    assert list(pieces([b"a", b"b"])) == [b"a", b"b"]
    assert list(pieces(io.BytesIO(b"ab"))) == [b"ab"]


def test_a_disk_that_is_full_here(tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(PlatformOpsError) as caught:
            Local().put(str(tmp_path / "file"), DATA, mode=0o600)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert str(caught.value) == (
        f"{tmp_path}/file on this machine cannot be written: File too large; raise the limit on a file's size there."
    )
    assert list(tmp_path.iterdir()) == []
