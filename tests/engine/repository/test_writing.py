"""Writing a set: its files whole or not at all, the manifest last, and whatever fails takes its files back."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest
from pydantic import BaseModel

from engine.errors import OperationFailed, TransientFailure
from engine.repository.body import Body, FileEntry, Timing
from engine.repository.catalogue import catalogue
from engine.repository.manifest import read_manifest
from engine.repository.repository import Repository
from engine.repository.verify import verify_set
from engine.repository.writing import SetWriter
from engine.stores.base import ByteWriter, Deletion, Store
from engine.stores.folder import FolderStore
from engine.streams.pack import member
from engine.streams.unpack import unpack_bytes
from engine.version import VERSION
from tests.engine.repository.made import MemoryStore, a_key, store_set, write

KEY = a_key("2026-02-07 17:00", "app")


class Facts(BaseModel):
    server_version: str = "16.2"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def out(store: MemoryStore) -> SetWriter:
    return SetWriter(Repository(store), KEY)


def names(store: MemoryStore) -> list[str]:
    return [key.removeprefix(KEY.prefix) for key in sorted(store.objects)]


def streamed(out: SetWriter, name: str, packed: bytes, *, whole: bool = True, encrypt_here: bool = True) -> FileEntry:
    return out.add_packed(name, io.BytesIO(packed), "dump", "app", whole=lambda: whole, encrypt_here=encrypt_here)


# --- files


def test_something_small_is_packed_and_stored_under_its_role(store: MemoryStore, out: SetWriter) -> None:
    entry = out.add("proof.json", b"proof", "proof", "app")
    stored = store.objects["platform/db/app/20260207T170000Z-abcd1234/proof.json.gz"]
    assert gzip.decompress(stored) == b"proof"
    assert entry == FileEntry(
        name="proof.json.gz", size=len(stored), sha256=hashlib.sha256(stored).hexdigest(), role="proof", of="app"
    )
    assert out.files == (entry,)


def test_what_is_streamed_is_stored_as_it_comes(store: MemoryStore, out: SetWriter) -> None:
    packed = member(b"rows" * 10) + member(bytes(3 << 20)) + member(b"more")
    entry = streamed(out, "app.dump", packed)
    assert store.objects[KEY.prefix + "app.dump.gz"] == packed
    assert (entry.size, entry.sha256, entry.role, entry.of) == (
        len(packed),
        hashlib.sha256(packed).hexdigest(),
        "dump",
        "app",
    )


def test_files_are_told_in_the_order_of_their_names(out: SetWriter) -> None:
    for name in ("b", "a", "c"):
        out.add(name, b"", "dump")
    assert [file.name for file in out.files] == ["a.gz", "b.gz", "c.gz"]


def test_several_threads_may_add_files(store: MemoryStore, out: SetWriter) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: out.add(f"{number:03}", b"%d" % number, "dump"), range(200)))
    assert [file.name for file in out.files] == [f"{number:03}.gz" for number in range(200)]
    out.publish(Facts())
    assert verify_set(Repository(store), KEY).result == "passed"
    out.withdraw()
    assert store.objects == {}


def test_what_did_not_come_whole_gets_no_name(store: MemoryStore, out: SetWriter) -> None:
    with pytest.raises(BrokenPipeError):
        streamed(out, "app.dump", member(b"half"), whole=False)
    assert (store.objects, out.files) == ({}, ())


def test_an_error_of_what_is_read_leaves_nothing(store: MemoryStore, out: SetWriter) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        out.add_packed("app.dump", Broken(), "dump", whole=lambda: True, encrypt_here=True)
    assert (store.objects, out.files) == ({}, ())


class Full(MemoryStore):
    """A store whose disk is full after so many bytes of a file."""

    room = 0

    @contextmanager
    def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
        with super().writer(key, expected_bytes=expected_bytes) as target:
            yield _Small(target, self.room)


class _Small:
    def __init__(self, target: ByteWriter, room: int) -> None:
        self._target, self._room = target, room

    def write(self, data: bytes, /) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OperationFailed("the disk is full")
        return self._target.write(data)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_store_that_fails_says_why_and_keeps_nothing(encrypted: bool) -> None:
    store = Full()
    store.room = 100
    recipients = (str(pyrage.x25519.Identity.generate().to_public()),) if encrypted else ()
    out = SetWriter(Repository(store, recipients=recipients), KEY)
    with pytest.raises(OperationFailed, match="the disk is full"):
        streamed(out, "app.dump", bytes(range(256)) * 10_000)
    assert (store.objects, out.files) == ({}, ())


# --- sealing


def test_where_there_are_recipients_all_is_sealed_for_each_of_them(store: MemoryStore) -> None:
    people = [pyrage.x25519.Identity.generate() for _ in range(2)]
    out = SetWriter(Repository(store, recipients=tuple(str(one.to_public()) for one in people)), KEY)
    out.add("proof.json", b"secret proof", "proof")
    streamed(out, "app.dump", member(b"secret rows"))
    body = out.publish(Facts())
    assert names(store) == ["app.dump.gz.age", "manifest.json", "proof.json.gz.age"]
    assert (body.encrypted, body.recipients) == (True, tuple(str(one.to_public()) for one in people))
    for one in people:
        for name, message in (("proof.json.gz.age", b"secret proof"), ("app.dump.gz.age", b"secret rows")):
            assert unpack_bytes(store.objects[KEY.prefix + name], (str(one),)) == message
    assert verify_set(Repository(store), KEY).result == "passed"


def test_what_is_sealed_already_is_not_sealed_again(store: MemoryStore) -> None:
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    out = SetWriter(Repository(store, recipients=(recipient,)), KEY)
    streamed(out, "app.dump", b"sealed where it was read", encrypt_here=False)
    assert store.objects[KEY.prefix + "app.dump.gz.age"] == b"sealed where it was read"


def test_a_digest_key_signs_the_manifest(store: MemoryStore) -> None:
    out = SetWriter(Repository(store, digest_key="key"), KEY)
    body = out.publish(Facts())
    assert read_manifest(Repository(store, digest_key="key"), KEY) == body
    assert b'"hmac-sha256"' in store.objects[KEY.manifest]


# --- the manifest


def test_a_set_exists_when_its_manifest_is_written_and_says_what_was_said(store: MemoryStore, out: SetWriter) -> None:
    entry = out.add("app.dump", b"dump", "dump", "app")
    assert [one.key for one in catalogue(Repository(store)).incomplete] == [KEY]
    out.missing.append("tablespace fast")
    out.sample_percent = 5
    out.timings = {"app": Timing(started=datetime(2026, 2, 7, 17, tzinfo=UTC), seconds=1.5)}
    body = out.publish(Facts())
    assert body == Body(
        source="platform",
        kind="db",
        name="app",
        set_id="20260207T170000Z-abcd1234",
        created=datetime(2026, 2, 7, 17, tzinfo=UTC),
        files=(entry,),
        encrypted=False,
        product_version=VERSION,
        timings={"app": Timing(started=datetime(2026, 2, 7, 17, tzinfo=UTC), seconds=1.5)},
        missing=("tablespace fast",),
        sample_percent=5,
        facts={"server_version": "16.2"},
    )
    assert read_manifest(Repository(store), KEY) == body
    assert verify_set(Repository(store), KEY).result == "passed"


def test_on_every_kind_of_store_a_set_can_be_written_and_withdrawn(store: Store, tmp_path: Path) -> None:
    folder = FolderStore("local", tmp_path)
    for place in (store, folder):
        out = SetWriter(Repository(place), KEY)
        out.add("proof.json", b"proof", "proof")
        streamed(out, "app.dump", member(bytes(range(256)) * 20_000))
        out.publish(Facts())
        assert verify_set(Repository(place), KEY).result == "passed"
        out.withdraw()
        assert list(place.keys()) == []


def test_files_that_others_stored_for_the_set_belong_to_it(store: MemoryStore, out: SetWriter) -> None:
    part = SetWriter(Repository(store), KEY)
    part.add("001-app.sql", b"rows", "sql", "app")
    out.adopt(part.files)
    out.add("000-globals.sql", b"roles", "globals")
    body = out.publish(Facts())
    assert [file.name for file in body.files] == ["000-globals.sql.gz", "001-app.sql.gz"]
    assert verify_set(Repository(store), KEY).result == "passed"


@pytest.mark.parametrize("how", ["gone", "shorter"])
def test_a_swept_file_stops_the_publishing(store: MemoryStore, out: SetWriter, how: str) -> None:
    out.add("proof.json", b"proof", "proof")
    out.add("app.dump", b"dump", "dump")
    store.delete([KEY.prefix + "app.dump.gz"])
    if how == "shorter":
        write(store, KEY.prefix + "app.dump.gz", b"d")
    with pytest.raises(TransientFailure) as caught:
        out.publish(Facts())
    assert str(caught.value) == (
        "platform/db/app/20260207T170000Z-abcd1234 in memory: was not published: app.dump.gz is not there any more as "
        "it was written; another run took this one for dead and swept it. Run the backup again."
    )
    assert KEY.manifest not in store.objects


def test_a_swept_file_of_another_s_stops_the_publishing_too(store: MemoryStore, out: SetWriter) -> None:
    part = SetWriter(Repository(store), KEY)
    part.add("001-app.sql", b"rows", "sql", "app")
    out.adopt(part.files)
    part.withdraw()
    with pytest.raises(TransientFailure, match=r"001-app\.sql\.gz is not there any more"):
        out.publish(Facts())
    assert store.objects == {}


# --- taking back


def test_withdrawing_takes_back_the_set_with_all_its_files(store: MemoryStore, out: SetWriter) -> None:
    other = store_set(store, a_key("2026-02-07 17:00", "app-test"))
    kept = {key for key in store.objects if key.startswith(other.prefix)}
    out.add("proof.json", b"proof", "proof")
    streamed(out, "app.dump", member(b"rows"))
    out.publish(Facts())
    out.withdraw()
    assert store.objects.keys() == kept


def test_the_manifest_goes_first() -> None:
    class Noting(MemoryStore):
        gone: list[str]

        def delete(self, keys: Iterable[str]) -> Deletion:
            self.gone = list(keys)
            return super().delete(self.gone)

    store = Noting()
    out = SetWriter(Repository(store), KEY)
    out.add("a.dump", b"", "dump")
    out.publish(Facts())
    out.withdraw()
    assert store.gone == [KEY.manifest, KEY.prefix + "a.dump.gz"]


def test_what_may_have_been_stored_is_taken_back_though_its_answer_was_lost() -> None:
    class Losing(MemoryStore):
        @contextmanager
        def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
            with super().writer(key, expected_bytes=expected_bytes) as target:
                yield target
            raise TransientFailure("the answer was lost")

    store = Losing()
    out = SetWriter(Repository(store), KEY)
    with pytest.raises(TransientFailure):
        out.add("a.dump", b"", "dump")
    with pytest.raises(TransientFailure):
        streamed(out, "b.dump", member(b"rows"))
    assert (names(store), out.files) == (["a.dump.gz", "b.dump.gz"], ())
    out.withdraw()
    assert store.objects == {}


def test_withdrawing_leaves_what_others_stored_for_the_set(store: MemoryStore, out: SetWriter) -> None:
    part = SetWriter(Repository(store), KEY)
    part.add("001-app.sql", b"rows", "sql", "app")
    out.adopt(part.files)
    out.add("000-globals.sql", b"roles", "globals")
    out.publish(Facts())
    out.withdraw()
    assert names(store) == ["001-app.sql.gz"]  # a new try adopts it again


def test_a_retry_under_a_visible_manifest_makes_the_set_invisible_first(store: MemoryStore) -> None:
    first = SetWriter(Repository(store), KEY)
    first.add("app.dump", b"first", "dump")
    first.publish(Facts())
    again = SetWriter(Repository(store), KEY)
    again.begin()
    assert catalogue(Repository(store)).sets == ()
    again.add("app.dump", b"again", "dump")
    again.publish(Facts())
    assert gzip.decompress(store.objects[KEY.prefix + "app.dump.gz"]) == b"again"
    assert verify_set(Repository(store), KEY).result == "passed"


def test_a_retry_under_a_locked_manifest_is_refused_and_the_set_stays_whole(store: MemoryStore) -> None:
    first = SetWriter(Repository(store), KEY)
    first.add("app.dump", b"first", "dump")
    first.publish(Facts())
    store.locked = {KEY.manifest}
    with pytest.raises(OperationFailed) as caught:
        SetWriter(Repository(store), KEY).begin()
    assert str(caught.value) == (
        "platform/db/app/20260207T170000Z-abcd1234 in memory: was published by a try that then failed, and an object "
        "lock holds it; run the backup again, which makes another one."
    )
    assert verify_set(Repository(store), KEY).result == "passed"


def test_where_nothing_is_stored_there_is_nothing_to_begin_with(store: MemoryStore, out: SetWriter) -> None:
    out.begin()
    assert store.objects == {}


def test_a_retry_begins_without_what_an_earlier_try_left_and_with_what_it_adopts(
    store: MemoryStore, out: SetWriter
) -> None:
    parts = [SetWriter(Repository(store), KEY) for _ in range(2)]
    for number, part in enumerate(parts):
        part.add(f"00{number}.sql", b"rows", "sql")
    near = store_set(store, a_key("2026-02-07 17:00", "app-test"))
    write(store, f"{KEY.prefix}notes/why.txt", b"mine")
    out.adopt(parts[0].files)
    out.begin()
    assert [name for name in names(store) if not name.startswith("platform")] == ["000.sql.gz", "notes/why.txt"]
    assert verify_set(Repository(store), near).result == "passed"


def test_what_an_object_lock_holds_of_an_earlier_try_is_written_over(store: MemoryStore, out: SetWriter) -> None:
    write(store, KEY.prefix + "app.dump.gz", b"an earlier try's")
    store.locked = {KEY.prefix + "app.dump.gz"}
    out.begin()
    out.add("app.dump", b"again", "dump")
    out.publish(Facts())
    assert verify_set(Repository(store), KEY).result == "passed"
