"""Archives are read as they pass; Python's own tarfile and GNU tar say what is in them."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import DamagedSet
from engine.sources.volumes.sandbox import VOLUME
from engine.sources.volumes.streaming import tar_argv
from engine.sources.volumes.tar_reader import HostileMember, TarReader, leads_out
from engine.sources.volumes.tree import ROOT, Entry, differences, entries_of, line_of
from tests.engine.sources.volumes.scene import odd_things


def members(*hostile: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry, data in hostile:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def a(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry, data


HOSTILE = {
    "up": members(a("../out", data=b"x")),
    "absolute": members(a("/tmp/out", data=b"x")),
    "a link and a file behind it": members(a("out", tarfile.SYMTYPE, "/etc"), a("out/passwd", data=b"x")),
    "a link alone": members(a("out", tarfile.SYMTYPE, "../../etc/passwd")),
    "hard link": members(a("out", tarfile.LNKTYPE, "../../etc/passwd")),
    "device": members(a("sda", tarfile.BLKTYPE)),
    "a link by another spelling": members(a("././out", tarfile.SYMTYPE, "deep"), a("out/passwd", data=b"x")),
    "an empty name in a path": members(a("out//passwd", data=b"x")),
    "a header for all that follows": tarfile.TarInfo.create_pax_global_header({"path": "/etc/passwd"})
    + members(a("good", data=b"x")),
}


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: bytes, size: int = 1 << 20) -> list[Entry]:
    return [entry for entry, _ in TarReader(pieces(data, size)).entries()]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("volume")
    odd_things(folder)
    argv = [word.replace(VOLUME, str(folder)) for word in tar_argv("tar", file="-")]
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout


@pytest.mark.parametrize("size", [1 << 20, 10_240, 511, 7])
def test_it_reads_what_python_s_tarfile_reads(archive: bytes, size: int) -> None:
    found = {entry.path: entry for entry in read(archive, size)}
    with tarfile.open(fileobj=io.BytesIO(archive), errors="surrogateescape") as tar:
        for member in tar:
            one = found.pop(member.name.removeprefix("./"))
            assert (one.mode, one.uid, one.gid) == (member.mode, member.uid, member.gid)
            assert one.mtime == pytest.approx(float(member.pax_headers["mtime"]) * 1e9, abs=1000)
            assert one.size == (member.size if member.isfile() else 0)
            if member.isfile():
                contents = tar.extractfile(member)
                assert contents is not None
                assert one.sha256 == hashlib.sha256(contents.read()).hexdigest()
            if member.issym():
                assert (one.type, one.link) == ("symlink", member.linkname)
            xattrs = {name for name in member.pax_headers if name.startswith("SCHILY.")}
            assert {name for name, _ in one.xattrs} == xattrs
    assert found == {}


def test_it_tells_where_the_archive_ends_and_goes_as_tar_goes(archive: bytes) -> None:
    reader = TarReader(pieces(archive, 4096))
    entries = [entry for entry, _ in reader.entries()]
    assert reader.end is not None
    assert archive[reader.end :].strip(b"\0") == b"" != archive[reader.end - 512 : reader.end].strip(b"\0")
    assert entries == sorted(entries, key=lambda entry: entry.order)
    assert entries[0].path == ROOT
    assert list(entries_of(map(line_of, entries))) == entries


def test_damage_is_told(archive: bytes) -> None:
    for broken in (
        archive[: len(archive) // 2],
        b"x" + archive[1:],
        archive[:100] + b"9" + archive[101:],
        archive + b"more",
    ):
        with pytest.raises(DamagedSet):
            read(broken)
    with pytest.raises(DamagedSet):
        list(entries_of([b'["a"]\n']))
    for wrong in ({"size": "-5"}, {"mtime": "x"}, {"mtime": "1e99999999"}, {"uid": "-1"}):
        with pytest.raises(DamagedSet):
            read(reported(wrong))
    for text in (b"-1\n", b"1\n0\n-4\n", b"x\n", b"99999999999\n"):
        with pytest.raises(DamagedSet):
            read(sparse(text, b"", 10))


def reported(pax: dict[str, str], data: bytes = b"") -> bytes:
    """An archive of one file, of which a pax header says this."""
    entry, _ = a("file")
    entry.pax_headers = pax
    return members((entry, data))


def sparse(text: bytes, data: bytes, size: int) -> bytes:
    padded = text + bytes(-len(text) % 512)
    head = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": str(size)}
    return reported(head, padded + data)


def test_the_map_of_a_sparse_file_is_read_in_time_that_grows_with_it() -> None:
    def seconds(count: int) -> float:
        offsets = b"".join(b"%d\n1\n" % (2 * number) for number in range(count))
        archive = sparse(b"%d\n" % count + offsets, b"x" * count, 2 * count)
        began = time.process_time()
        [entry] = read(archive)
        took = time.process_time() - began
        assert entry.sha256 == hashlib.sha256(b"x\0" * count).hexdigest()
        return took

    assert seconds(80_000) < 10 * max(seconds(20_000), 0.05)


def test_a_name_is_the_one_that_tar_takes() -> None:
    entry = tarfile.TarInfo("p")
    entry.pax_headers = {"path": "by-pax"}
    both = entry.tobuf(tarfile.PAX_FORMAT)[:1024] + tarfile.TarInfo("n" * 150).tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    assert [entry.path for entry in read(both)] == ["by-pax"]
    assert subprocess.run(["tar", "--list"], input=both, capture_output=True, check=True).stdout == b"by-pax\n"


@pytest.mark.parametrize("what", HOSTILE)
def test_a_member_that_leads_out_is_told_before_anything_of_it_has_passed(what: str) -> None:
    """A symbolic link alone comes back as it was, where the set's manifest knows of it; nothing is unpacked behind it."""
    good = members(a("good", data=b"good" * 1000))[: 512 + 4096]
    reader, seen = TarReader(passing := Passing(good + HOSTILE[what])), []
    try:
        seen += [entry for entry, _ in reader.entries()]
        refused = False
    except HostileMember:
        refused = True
    assert refused != any(leads_out(entry) for entry in seen)
    if refused:
        assert passing.passed <= len(good) + 512 * (what == "a link and a file behind it")


class Passing:
    """Pieces of one block: each has passed on when the next one is asked for."""

    def __init__(self, data: bytes) -> None:
        self.data, self.passed = data, 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in pieces(self.data, 512):
            yield piece
            self.passed += len(piece)


def test_a_link_within_the_volume_leads_nowhere_else() -> None:
    def link(path: str, to: str) -> bool:
        return leads_out(Entry(path, "symlink", 0o777, 0, 0, link=to))

    assert not any((link("a", "b"), link("a/b", "../c"), link("a/b/c", "../../d"), link("a", "./b/../c")))
    assert all((link("a", "../b"), link("a/b", "../../c"), link("a", "/app/data"), link("a/b", "../../a/b")))


def test_whatever_differs_is_named(archive: bytes) -> None:
    entries = read(archive)
    changes = {
        "mode": {"mode": 0o600}, "owner": {"uid": 7}, "size": {"size": 1}, "time": {"mtime": 1}, "link": {"link": "x"},
        "attributes": {"xattrs": ()}, "contents": {"sha256": "0" * 64}, "type": {"type": "fifo"},
    }  # fmt: skip
    at = next(number for number, entry in enumerate(entries) if entry.path == "d/a")
    for change in changes.values():
        other = [*entries[:at], entries[at]._replace(**change), *entries[at + 1 :]]  # type: ignore[arg-type]
        [one] = differences(entries, other)
        assert (one.path, one.expected != one.found) == ("d/a", True)
    [gone] = differences(entries, entries[:at] + entries[at + 1 :])
    assert (gone.path, gone.found) == ("d/a", "")
    [more] = differences(entries[:-1], entries)
    assert (more.path, more.expected) == (entries[-1].path, "")
    assert list(differences(entries, list(entries))) == []


def test_a_large_number_is_read(tmp_path: Path) -> None:
    """tar writes numbers that do not fit their digits in base 256, where no pax header says them."""
    path = tmp_path / "a"
    path.touch()
    os.chown(path, 3_000_000, 3_000_000)
    for form in ("gnu", "posix"):
        argv = ["tar", "--create", f"--format={form}", "--numeric-owner", f"--directory={tmp_path}", "./a"]
        [entry] = read(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)
        assert (entry.uid, entry.gid) == (3_000_000, 3_000_000)
