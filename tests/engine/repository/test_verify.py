"""Verify: whatever happens to a stored byte is seen, and what could not be read is not called bad."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError, TransientFailure
from engine.repository.catalogue import catalogue
from engine.repository.keys import MANIFEST, SetKey
from engine.repository.repository import Repository
from engine.repository.verdicts import read_verdict
from engine.repository.verify import (
    VerifyRun,
    verification_order,
    verify_and_record,
    verify_set,
    verify_stored,
)
from engine.repository.verify_set import VerifyResult
from engine.stores.base import StoredObject
from engine.stores.folder import FolderStore
from tests.engine.repository.made import NOW, MemoryStore, a_key, judge, parse_verdict_key, store_set, write

KEY = a_key("2026-02-07 17:00", "app")
FILES = {"app.dump.gz": bytes(range(256)) * 12_289, "proof.json.gz": b"proof", "empty.sql.gz": b""}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore("local", tmp_path)


def findings(report: VerifyResult) -> dict[str, str]:
    return {check.name: check.finding for check in report.checks}


def test_an_untouched_set_passes(store: FolderStore) -> None:
    store_set(store, KEY, FILES)
    lines: list[str] = []
    report = verify_set(Repository(store), KEY, progress=lines.append)
    assert report.result == "passed"
    assert findings(report) == dict.fromkeys(FILES, "equal")
    assert report.read == 256 * 12_289 + 5
    assert report.sentence == f"{KEY} in {store.address} is equal to its manifest: 3 files."
    assert lines == [f"{KEY}/{name}: is equal" for name in FILES]
    assert list(store.keys("platform/verdicts/")) == []
    json.dumps(asdict(report))


def test_damage_of_each_kind_is_named(store: FolderStore, tmp_path: Path) -> None:
    store_set(store, KEY, FILES)
    folder = tmp_path / KEY.prefix
    dump = bytearray((folder / "app.dump.gz").read_bytes())
    dump[2_000_000] ^= 1
    (folder / "app.dump.gz").write_bytes(dump)
    (folder / "proof.json.gz").unlink()
    (folder / "empty.sql.gz").write_bytes(b"x")
    (folder / "999-more.sql.gz").write_bytes(b"DROP DATABASE app")
    report = verify_set(Repository(store), KEY)
    assert report.result == "failed"
    assert [(check.name, check.finding, check.detail) for check in report.checks] == [
        ("app.dump.gz", "differs", "has other bytes than the manifest says"),
        ("proof.json.gz", "missing", "is missing"),
        ("empty.sql.gz", "differs", "has 1 bytes where the manifest says 0"),
        ("999-more.sql.gz", "extra", "is not in the manifest"),
    ]
    assert report.sentence == (
        f"{KEY} in {store.address} differs from its manifest: app.dump.gz has other bytes than the manifest "
        "says (and 3 more); restore another set, `list` shows which are good."
    )


def test_a_swapped_pair_of_files_fails(store: FolderStore, tmp_path: Path) -> None:
    store_set(store, KEY, {"a.dump.gz": b"one", "b.dump.gz": b"two"})
    folder = tmp_path / KEY.prefix
    (folder / "a.dump.gz").rename(folder / "c")
    (folder / "b.dump.gz").rename(folder / "a.dump.gz")
    (folder / "c").rename(folder / "b.dump.gz")
    assert findings(verify_set(Repository(store), KEY)) == {"a.dump.gz": "differs", "b.dump.gz": "differs"}


def test_every_random_corruption_is_found() -> None:
    chance = random.Random(20260207)  # noqa: S311
    store = MemoryStore()
    store_set(store, KEY, {"app.dump.gz": chance.randbytes(900), "proof.json.gz": chance.randbytes(90)})
    whole = dict(store.objects)
    for _ in range(1000):
        store.objects = dict(whole)
        name = chance.choice(sorted(whole))
        data = bytearray(whole[name])
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            case _:
                data[at : at + 8] = bytes(len(data[at : at + 8]))
        store.objects[name] = bytes(data)
        if name == KEY.manifest and is_same_document(bytes(data), whole[name]):
            continue
        assert (verify_set(Repository(store), KEY).result == "passed") == (store.objects == whole), (name, at)


def is_same_document(one: bytes, other: bytes) -> bool:
    """White space between the words of a manifest says nothing."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_an_edited_or_foreign_manifest_fails(store: FolderStore, tmp_path: Path) -> None:
    store_set(store, KEY)
    other = store_set(store, a_key("2026-02-06 17:00", "app"))
    manifest = tmp_path / KEY.manifest
    manifest.write_text(manifest.read_text().replace('"16.2"', '"17.0"'))
    assert verify_set(Repository(store), KEY).result == "failed"
    assert "was changed after it was written" in verify_set(Repository(store), KEY).sentence
    manifest.write_bytes((tmp_path / other.manifest).read_bytes())
    assert verify_set(Repository(store), KEY).result == "failed"
    assert "is the manifest of another set" in verify_set(Repository(store), KEY).sentence


@pytest.mark.parametrize(("written_with", "read_with"), [(None, "key"), ("key", None)])
def test_a_digest_that_cannot_be_judged_is_unverified(
    store: FolderStore, written_with: str | None, read_with: str | None
) -> None:
    store_set(store, KEY, digest_key=written_with)
    report = verify_set(Repository(store, digest_key=read_with), KEY)
    assert report.result == "unverified"
    assert "digest_key" in report.sentence
    assert verify_set(Repository(store, digest_key=written_with), KEY).result == "passed"


def test_a_newer_manifest_is_unverified(store: FolderStore, tmp_path: Path) -> None:
    store_set(store, KEY)
    manifest = tmp_path / KEY.manifest
    manifest.write_text(manifest.read_text().replace('"schema": 1', '"schema": 2'))
    report = verify_set(Repository(store), KEY)
    assert report.result == "unverified"
    assert findings(report) == {MANIFEST: "unreadable"}
    assert "use the version that wrote it" in report.sentence


@pytest.mark.parametrize(
    "error",
    [
        TransientFailure("reset by peer"),
        ConfigurationError("access denied"),
        OperationFailed("not connected"),  # a mount that went away, an object in a cold storage class
    ],
)
@pytest.mark.parametrize("name", ["app.dump.gz", MANIFEST])
def test_what_cannot_be_read_now_is_not_called_bad(error: PlatformOpsError, name: str) -> None:
    store = MemoryStore()
    store_set(store, KEY)
    store.failing[KEY.prefix + name] = error
    report = verify_set(Repository(store), KEY)
    assert report.result == "unverified"
    assert findings(report)[name] == "unreadable"
    assert str(error) in report.sentence


def test_one_bad_file_is_enough_even_when_another_cannot_be_read() -> None:
    store = MemoryStore()
    store_set(store, KEY)
    store.failing[KEY.prefix + "app.dump.gz"] = TransientFailure("reset by peer")
    store.objects[KEY.prefix + "proof.json.gz"] = b"pr00f"
    assert verify_set(Repository(store), KEY).result == "failed"


def test_a_connection_that_ends_early_is_not_called_bad() -> None:
    class Short(MemoryStore):
        """Announces more than it gives."""

        def list(self, prefix: str = "") -> Iterator[StoredObject]:
            for one in super().list(prefix):
                yield replace(one, size=2000) if one.key.endswith(".dump.gz") else one

    store = Short()
    store_set(store, KEY)
    store.objects[KEY.prefix + "app.dump.gz"] = b"dump"
    report = verify_set(Repository(store), KEY)
    assert report.result == "unverified"
    assert report.checks[0].detail == "could be read to byte 4 only, of 2000 that are stored"


def test_there_is_no_set_without_a_manifest(store: FolderStore) -> None:
    write(store, KEY.prefix + "app.dump.gz", b"half")
    with pytest.raises(OperationFailed, match=r"^There is no set platform/db/app/"):
        verify_set(Repository(store), KEY)


def test_the_verdict_keeps_the_evidence(store: FolderStore, tmp_path: Path) -> None:
    store_set(store, KEY, FILES)
    (tmp_path / KEY.prefix / "proof.json.gz").write_bytes(b"pr00f")
    report = verify_and_record(Repository(store), KEY, NOW)
    assert report.verdict == f"platform/verdicts/db/app/{KEY.set_id}.20260207T180000Z-verify-failed.json"
    key = parse_verdict_key(report.verdict)
    assert key is not None
    document = read_verdict(Repository(store), key)
    assert (document["set"], document["files"], document["equal"]) == (str(KEY), 3, 2)
    assert [row["name"] for row in document["not_equal"]] == ["proof.json.gz"]
    assert document["sentence"] == report.sentence
    assert catalogue(Repository(store)).sets[0].state == "failed"


# --- a backup run's round


def test_never_verified_first_newest_first_then_the_oldest_verification() -> None:
    store = MemoryStore()
    keys = [store_set(store, a_key(f"2026-02-0{day}", "app")) for day in range(1, 6)]
    judge(store, keys[0], "verify", "passed", "2026-02-06")
    judge(store, keys[3], "verify", "passed", "2026-02-05")
    judge(store, keys[1], "verify", "unverified", "2026-02-05 12:00")
    judge(store, keys[4], "drill", "passed", "2026-02-06")
    order = [one.key for one in verification_order(catalogue(Repository(store)))]
    assert order == [keys[4], keys[2], keys[3], keys[1], keys[0]]


def run(store: MemoryStore, hour: int, budget: int) -> list[SetKey]:
    done = verify_stored(Repository(store), NOW.replace(hour=hour), budget, "platform")
    return [report.key for report in done.reports]


def test_every_set_has_its_turn_within_the_budget() -> None:
    store = MemoryStore()
    keys = [store_set(store, a_key(f"2026-02-0{day}", "app")) for day in range(1, 6)]
    each = catalogue(Repository(store), sizes=True).sets[0].size or 0
    assert run(store, 18, 2 * each) == [keys[4], keys[3]]
    assert run(store, 19, 2 * each + each // 2) == [keys[2], keys[1]]
    assert run(store, 20, 2 * each) == [keys[0], keys[4]]
    assert run(store, 21, 0) == [keys[3]]
    assert run(store, 22, 10**12) == [keys[2], keys[1], keys[4], keys[0], keys[3]]
    assert {one.state for one in catalogue(Repository(store)).sets} == {"verified"}


def test_a_round_is_as_bad_as_its_worst_set() -> None:
    store = MemoryStore()
    keys = [store_set(store, a_key(f"2026-02-0{day}", "app")) for day in range(1, 4)]
    store_set(store, a_key("2026-02-01", source="other"))
    store.failing[keys[0].prefix + "app.dump.gz"] = TransientFailure("reset by peer")
    done = verify_stored(Repository(store), NOW, 10**9, "platform")
    assert (done.result, len(done.reports), done.left) == ("unverified", 3, 0)
    del store.objects[keys[1].prefix + "app.dump.gz"]
    assert verify_stored(Repository(store), NOW.replace(hour=19), 10**9, "platform").result == "failed"
    assert verify_stored(Repository(store), NOW.replace(hour=20), 10**9).result == "failed"
    assert verify_stored(Repository(store), NOW, 10**9, "empty") == VerifyRun("unverified", (), 0, 0, (store.address,))


def test_a_round_may_be_one_thing_s_alone() -> None:
    store = MemoryStore()
    app, _, test = (store_set(store, a_key("2026-02-07", name)) for name in ("app", "", "app-test"))
    done = verify_stored(Repository(store), NOW, 10**9, "platform", wanted=("db", "app"))
    assert ([report.key for report in done.reports], done.left) == ([app], 0)
    done = verify_stored(Repository(store), NOW, 10**9, wanted=("db", "app-test"))
    assert [report.key for report in done.reports] == [test]
    assert verify_stored(Repository(store), NOW, 10**9, wanted=("db", "gone")).result == "unverified"


def test_sets_that_share_an_id_each_have_their_own_turn() -> None:
    store = MemoryStore()
    a, b = (store_set(store, a_key("2026-02-07", name)) for name in ("a", "b"))
    judge(store, a, "verify", "passed", "2026-02-07 12:00")
    assert [one.key for one in verification_order(catalogue(Repository(store)))] == [b, a]
    del store.objects[b.prefix + "app.dump.gz"]
    verify_stored(Repository(store), NOW, 10**9)
    assert {one.key: one.state for one in catalogue(Repository(store)).sets} == {a: "verified", b: "failed"}


def test_a_set_of_a_kind_that_nothing_here_knows_is_verified_as_others_are() -> None:
    store = MemoryStore()
    key = store_set(store, a_key("2026-02-07", "x", kind="hologram"))
    report = verify_and_record(Repository(store), key, NOW)
    assert report.result == "passed"
    assert report.verdict == (
        "platform/verdicts/hologram/x/20260207T000000Z-abcd1234.20260207T180000Z-verify-passed.json"
    )


def test_a_verdict_is_sealed_with_the_repository_s_digest_key() -> None:
    store = MemoryStore()
    repository = Repository(store, digest_key="key")
    store_set(store, KEY, digest_key="key")
    report = verify_and_record(repository, KEY, NOW)
    assert report.verdict is not None
    tagged = parse_verdict_key(report.verdict)
    assert tagged is not None
    assert tagged == tagged.tagged("key")
    assert catalogue(repository).sets[0].state == "verified"
    without_it = catalogue(Repository(store, digest_key="another"))
    assert (without_it.sets[0].state, without_it.verdicts, without_it.unsealed) == ("recorded", (), 1)


def test_a_set_pruned_meanwhile_is_left_out() -> None:
    store = MemoryStore()
    keys = [store_set(store, a_key(f"2026-02-0{day}", "app")) for day in (1, 2)]

    def prune(line: str) -> None:
        for name in [name for name in store.objects if name.startswith(keys[0].prefix)]:
            del store.objects[name]

    done = verify_stored(Repository(store), NOW, 10**9, progress=prune)
    assert [report.key for report in done.reports] == [keys[1]]
    assert [name for name in store.objects if "verdicts" in name] == [
        f"platform/verdicts/db/app/{keys[1].set_id}.20260207T180000Z-verify-passed.json"
    ]


def test_a_set_pruned_while_it_is_read_gets_no_verdict() -> None:
    store = MemoryStore()
    key = store_set(store, KEY, {"a.dump.gz": b"1", "b.dump.gz": b"2"})
    with pytest.raises(OperationFailed, match="There is no set"):
        verify_and_record(Repository(store), key, NOW, progress=lambda line: store.objects.clear())
    assert store.objects == {}


def test_damage_that_a_long_run_finds_counts_against_a_pass_since_it_began() -> None:
    store = MemoryStore()
    late, first = [store_set(store, a_key(f"2026-02-0{day}", "app"), {"a.dump.gz": b"1"}) for day in (1, 2)]

    def go_on(line: str) -> None:
        if str(first) in line:
            judge(store, late, "verify", "passed", "2026-02-07 18:00:01")
            write(store, late.prefix + "a.dump.gz", b"2")
            time.sleep(1.05)

    assert verify_stored(Repository(store), NOW, 10**9, progress=go_on).result == "failed"
    assert {one.key: one.state for one in catalogue(Repository(store)).sets} == {late: "failed", first: "verified"}
    verify_and_record(Repository(store), first, NOW.replace(hour=19), progress=lambda line: time.sleep(1.05))
    assert f"platform/verdicts/db/app/{first.set_id}.20260207T190001Z-verify-passed.json" in store.objects
