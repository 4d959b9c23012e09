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
from engine.hosts.placing import pieces
from tests.engine.hosts.away import eventually
from tests.engine.hosts.parts import lines_about
from tests.engine.hosts.places import Place, word

DATA = os.urandom((3 << 20) + 5)
HOSTILE = ["a b", "it's", 'say "x"', "$(touch x)", "`id`", "-rf", "--", "*", "ümlaut", "a\\b", ".hidden", "a\tb"]


def mode_of(place: Place, name: str) -> str:
    return place.sh('stat -c %a "$1"', f"{place.folder}/{name}").strip()


def bytes_of(place: Place, name: str) -> bytes:
    return place.host.run(("cat", f"{place.folder}/{name}"), env={}, timeout=30).stdout


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400, 0o755, 0o640])
def test_a_file_has_its_bytes_and_its_mode(place: Place, mode: int) -> None:
    place.host.put(f"{place.folder}/file", DATA, mode=mode)
    assert (bytes_of(place, "file") == DATA, mode_of(place, "file")) == (True, f"{mode:o}")
    assert place.names() == ["file"]


def test_what_may_be_given(place: Place) -> None:
    given: dict[str, Data] = {
        "bytes": DATA,
        "pieces": [DATA[:7], b"", DATA[7:]],
        "file": io.BytesIO(DATA),
        "iterator": (piece for piece in (DATA[:100], DATA[100:])),
    }
    for name, data in given.items():
        place.host.put(f"{place.folder}/{name}", data, mode=0o600)
        assert bytes_of(place, name) == DATA, name
    place.host.put(f"{place.folder}/nothing", b"", mode=0o600)
    assert bytes_of(place, "nothing") == b""


def test_what_was_there_is_replaced_in_one_go(place: Place) -> None:
    path = f"{place.folder}/file"
    place.host.put(path, b"old", mode=0o644)

    def pieces_of_new() -> Iterator[bytes]:
        yield b"new"
        assert bytes_of(place, "file") == b"old"

    place.host.put(path, pieces_of_new(), mode=0o600)
    assert (bytes_of(place, "file"), mode_of(place, "file"), place.names()) == (b"new", "600", ["file"])


def test_a_link_is_replaced_and_not_followed(place: Place) -> None:
    place.sh('echo old >"$1/goal"; ln -s goal "$1/link"', place.folder)
    place.host.put(f"{place.folder}/link", b"new", mode=0o600)
    assert (bytes_of(place, "goal"), bytes_of(place, "link")) == (b"old\n", b"new")


def test_a_secret_is_to_nobody_else_while_it_is_written(place: Place) -> None:
    canary = word()
    seen: list[str] = []

    def pieces_and_a_look() -> Iterator[bytes]:
        yield canary.encode()
        eventually(lambda: len(place.names()) == 1, "it is not there")
        seen.append(place.sh('stat -c %a "$1"/.p*', place.folder).strip())
        seen.extend(lines_about(canary))
        yield b"more"

    place.host.put(f"{place.folder}/key", pieces_and_a_look(), mode=0o600)
    assert seen == ["600"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(place: Place, name: str) -> None:
    place.host.put(f"{place.folder}/{name}", b"x", mode=0o600)
    assert (place.names(), bytes_of(place, name)) == ([name], b"x")


@pytest.mark.parametrize("path", ["", "file", "./file", "/tmp/", "/tmp/a\nb", "/tmp/a\0b", "/tmp/..", "/"])
def test_what_is_no_path_of_a_file_is_refused(place: Place, path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^A file cannot be placed at .*; give its whole path, from / on\.$"):
        place.host.put(path, b"x", mode=0o600)


def refused(place: Place, path: str, data: bytes = b"x") -> str:
    with pytest.raises(OperationFailed) as caught:
        place.host.put(path, data, mode=0o600)
    return str(caught.value)


def here(place: Place) -> str:
    return place.host.note or " on this machine"


def test_what_cannot_be_written_says_why(place: Place) -> None:
    lost = f"{place.folder}/no/file"
    assert refused(place, lost) == (
        f"{lost}{here(place)} cannot be written: No such file or directory; make its folder first."
    )
    place.sh('mkdir "$1/folder"', place.folder)
    there = f"{place.folder}/folder"
    assert refused(place, there) == f"{there}{here(place)} cannot be written: Is a directory; give the path of a file."
    place.host.put(f"{place.folder}/plain", b"x", mode=0o600)
    under = f"{place.folder}/plain/file"
    assert refused(place, under) == (
        f"{under}{here(place)} cannot be written: Not a directory; give a path whose folder is one."
    )
    assert place.names() == ["folder", "plain"]
    assert refused(place, "/proc/file").startswith(f"/proc/file{here(place)} cannot be written: ")


@pytest.mark.parametrize("place", ["docker", "podman"], indirect=True)
def test_a_folder_of_another_user_and_a_disk_that_is_full(place: Place) -> None:
    assert refused(place, "/bin/file") == (
        f"/bin/file{here(place)} cannot be written: Permission denied; let this user write to its folder."
    )
    assert refused(place, "/small/file", DATA) == (
        f"/small/file{here(place)} cannot be written: No space left on device; free space there."
    )
    assert place.sh("ls -A /small") == ""


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
