"""The catalogue: from the keys alone, and what an operator may call a set."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ConfigurationError, OperationFailed
from engine.repository.catalogue import catalogue, measured
from engine.repository.keys import Asset, SetKey
from engine.repository.manifest import to_json
from engine.repository.repository import Repository
from engine.repository.stored import Catalogue, IncompleteSet, StoredSet
from engine.repository.verdicts import State
from engine.stores.base import Store
from engine.stores.folder import FolderStore
from tests.engine.repository.made import MemoryStore, a_body, a_key, judge, store_set, when, write


def test_everything_of_a_store_by_its_keys(tmp_path: Path) -> None:
    store = FolderStore("local", tmp_path)
    cluster = store_set(store, a_key("2026-02-07 17:00"), {"000-globals.sql.gz": b"12345"})
    app = store_set(store, a_key("2026-02-06 17:00", "app"), {"app.dump.gz": b"123"})
    hangul = store_set(store, a_key("2026-02-05 17:00", "한 글/.."), {})
    other = store_set(store, a_key("2026-02-07 17:00", source="other"), {})
    running = a_key("2026-02-07 17:30", "app")
    write(store, running.prefix + "app.dump.gz", b"1234")
    judge(store, app, "drill", "passed", "2026-02-06 19:00")
    judge(store, cluster, "verify", "failed", "2026-02-07 20:00")

    found = catalogue(Repository(store), "platform", sizes=True)
    assert {(one.key, one.state, one.files) for one in found.sets} == {
        (cluster, "failed", 2),
        (app, "proven", 2),
        (hangul, "recorded", 1),
    }
    manifest = len(to_json(Repository(store), a_body(app, {"app.dump.gz": b"123"})))
    assert next(one for one in found.sets if one.key == app).size == manifest + 3
    assert found.incomplete == (IncompleteSet(running, when("2026-02-07 17:30"), 4, 1),)
    assert [(one.set, one.check, one.result) for one in found.verdicts] == [
        (cluster, "verify", "failed"),
        (app, "drill", "passed"),
    ]
    assert {one.key for one in catalogue(Repository(store)).sets} == {cluster, app, hangul, other}
    assert {one.size for one in catalogue(Repository(store)).sets} == {None}


def test_without_their_files_sets_are_the_same(tmp_path: Path) -> None:
    store = FolderStore("local", tmp_path)
    app, other = store_set(store, a_key("2026-02-06", "app")), store_set(store, a_key("2026-02-06", "other"))
    running = a_key("2026-02-07", "app")
    write(store, running.prefix + "app.dump.gz", b"1234")
    judge(store, app, "drill", "passed", "2026-02-06 19:00")
    for stray in (
        "",
        "platform/",
        "platform/db/",
        "platform/db/app/",
        "platform/verdicts/",
        "platform/verdicts/db/app/",
    ):
        write(store, f"{stray}manifest.json", b"{}")

    quick, whole = catalogue(Repository(store)), catalogue(Repository(store), files=True)
    assert [(one.key, one.files) for one in quick.sets] == [(app, None), (other, None)]
    assert [(one.key, one.files) for one in whole.sets] == [(app, 3), (other, 3)]
    assert [one._replace(files=3) for one in quick.sets] == list(whole.sets)
    assert (quick.incomplete, quick.verdicts) == (whole.incomplete, whole.verdicts)
    assert [one.key for one in quick.incomplete] == [running]
    assert [one.files for one in measured(Repository(store), quick.sets)] == [3, 3]


def test_nothing_is_read_and_one_listing_is_enough() -> None:
    store = MemoryStore()
    for day in range(1, 8):
        key = store_set(store, a_key(f"2026-02-0{day}", "app"))
        store.failing = dict.fromkeys(store.objects, OperationFailed("was read"))
        judge(store, key, "verify", "passed", "2026-02-08")
    assert len(catalogue(Repository(store), "platform").sets) == 7
    assert store.requests == ["list platform/"]


def test_foreign_keys_are_passed_over() -> None:
    store = MemoryStore()
    key = store_set(store, a_key("2026-02-07", "app"), {"app.dump.gz": b"12345", "proof.json": b"1"})
    for foreign in (
        "README",
        "platform/notes.txt",
        "platform/db/app/notes.txt",
        f"{key.prefix}b/c",
        f"{key.prefix}a b.txt",
        f"{key.prefix}.hidden",
        f"{key.prefix}n/manifest.json",
        "platform/db/app/20269999T000000Z-abcd1234/manifest.json",
        f"platform/verdicts/db/app/{key.set_id}.20269999T000000Z-drill-failed.json",
        f"platform/verdicts/db/app/{key.set_id}.notes.txt",
    ):
        store.objects[foreign] = b"foreign"
    found = catalogue(Repository(store), sizes=True)
    assert [one.key for one in found.sets] == [key]
    assert found.sets[0].files == 3
    assert found.sets[0].size == 6 + len(store.objects[key.manifest])
    assert found.incomplete == ()
    assert found.verdicts == ()


def test_names_that_start_alike_are_kept_apart() -> None:
    store = MemoryStore()
    keys = [store_set(store, a_key("2026-02-07", name)) for name in ("app", "app-test", "app/test", "app%2Ftest")]
    assert len({one.key for one in catalogue(Repository(store), "platform").sets} & set(keys)) == 4
    assert list(catalogue(Repository(store), "platform").assets) == [
        Asset("platform", "db", name) for name in ("app%2Ftest", "app/test", "app-test", "app")
    ]
    assert catalogue(Repository(store), "plat").sets == ()


def test_a_hostile_source_name_lists_nothing() -> None:
    store = MemoryStore()
    with pytest.raises(ConfigurationError, match="is not a name of a source"):
        catalogue(Repository(store), "../other")
    assert store.requests == []


def test_what_was_found_of_a_set_says_nothing_of_others_with_its_id() -> None:
    store = MemoryStore()
    cluster, a, b = (store_set(store, a_key("2026-02-07", name)) for name in ("", "a", "b"))
    assert cluster.set_id == a.set_id == b.set_id
    judge(store, a, "drill", "passed", "2026-02-08")
    judge(store, b, "drill", "failed", "2026-02-08")
    assert sorted(key for key in store.objects if "/verdicts/" in key) == [
        "platform/verdicts/db/a/20260207T000000Z-abcd1234.20260208T000000Z-drill-passed.json",
        "platform/verdicts/db/b/20260207T000000Z-abcd1234.20260208T000000Z-drill-failed.json",
    ]
    found = catalogue(Repository(store))
    assert {one.key: one.state for one in found.sets} == {cluster: "recorded", a: "proven", b: "failed"}
    assert [one.result for one in found.verdicts_of(a)] == ["passed"]
    assert [one.result for one in found.verdicts_of(b)] == ["failed"]
    assert found.verdicts_of(cluster) == ()


def test_what_is_of_one_source_can_be_told_apart() -> None:
    store = MemoryStore()
    mine, other = store_set(store, a_key("2026-02-07", "app")), store_set(store, a_key("2026-02-07", "app", "other"))
    running = a_key("2026-02-08", "app", "other")
    write(store, running.prefix + "app.dump.gz", b"1234")
    judge(store, other, "drill", "passed", "2026-02-08")
    found = catalogue(Repository(store))
    assert (found.of("platform"), found.of("other")) == tuple(
        catalogue(Repository(store), source) for source in ("platform", "other")
    )
    assert [one.key for one in found.of("platform").sets] == [mine]
    assert (found.of("platform").incomplete, found.of("platform").verdicts) == ((), ())


def test_kinds_that_nothing_here_knows_are_listed_as_others_are(tmp_path: Path) -> None:
    for store in (FolderStore("local", tmp_path), MemoryStore()):
        key = store_set(store, SetKey("platform", "hologram", "한 글", "20260207T000000Z-abcd1234"))
        judge(store, key, "verify", "passed", "2026-02-08")
        found = catalogue(Repository(store), "platform")
        assert list(found.assets) == [Asset("platform", "hologram", "한 글")]
        assert [(one.key, one.state) for one in found.sets] == [(key, "verified")]


HOSTILE = [
    "manifest.json",
    "platform/manifest.json",
    "platform/cluster/manifest.json",
    "platform/db/manifest.json",
    "platform/db/app/manifest.json",
    "platform/db/%320260207T170000Z-abcd1234/manifest.json",
    "platform/verdicts/manifest.json",
    "platform/verdicts/db/manifest.json",
    "platform/verdicts/db/app/manifest.json",
    "platform/verdicts/db/20260207T170000Z-abcd1234/manifest.json",
    "platform/leases/manifest.json",
]
"""Where a manifest makes no set."""


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_manifest_where_none_belongs_hides_nothing(store: Store, hostile: str) -> None:
    _hides_nothing(store, hostile)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_manifest_where_none_belongs_hides_nothing_in_memory_either(hostile: str) -> None:
    _hides_nothing(MemoryStore(), hostile)


def _hides_nothing(store: Store, hostile: str) -> None:
    names = ("", "app", "20260207T170000Z-abcd1234")
    keys = [store_set(store, a_key("2026-02-07 17:00", name), {"a.gz": b"1"}) for name in names]
    running = a_key("2026-02-08 17:00", "app")
    write(store, running.prefix + "app.dump.gz", b"1234")
    for key in keys:
        judge(store, key, "drill", "passed", "2026-02-08")
    before = [catalogue(Repository(store), "platform", files=files) for files in (False, True)]
    assert {one.key for one in before[0].sets} == set(keys)
    assert len(before[0].verdicts) == 3
    write(store, hostile, b"{}")
    assert [catalogue(Repository(store), "platform", files=files) for files in (False, True)] == before


def test_a_name_that_looks_like_a_set_s_id_is_a_name(store: Store) -> None:
    looks = "20260207T170000Z-abcd1234"
    key = store_set(store, a_key("2026-02-07 17:00", looks))
    assert str(key) == f"platform/db/%32{looks[1:]}/{looks}"
    judge(store, key, "drill", "passed", "2026-02-08")
    found = catalogue(Repository(store))
    assert [(one.key, one.state) for one in found.sets] == [(key, "proven")]
    assert found.find("newest", Asset("platform", "db", looks)).key == key


# --- finding


def a_set(text: str, token: str, state: State, asset: Asset) -> StoredSet:
    key = asset.set(f"{when(text):%Y%m%dT%H%M%SZ}-{token}")
    return StoredSet(key, key.created, state, 1, 2)


THE_CLUSTER, THE_APP = Asset("platform", "cluster", ""), Asset("platform", "db", "app")


APP = [
    a_set("2026-02-07", "aaaa", "failed", THE_APP),
    a_set("2026-02-06", "bbbb", "recorded", THE_APP),
    a_set("2026-02-05", "cccc", "verified", THE_APP),
    a_set("2026-02-04", "dddd", "proven", THE_APP),
]
CLUSTER = a_set("2026-02-03", "eeee", "recorded", THE_CLUSTER)
RUNNING = IncompleteSet(SetKey("platform", "db", "app", "20260208T000000Z-ffff"), when("2026-02-08"), None, 1)
FOUND = Catalogue("/srv/backups", (*APP[::-1], CLUSTER), (RUNNING,), ())


@pytest.mark.parametrize(
    ("text", "asset", "expected"),
    [
        ("newest", THE_APP, APP[0]),
        ("newest-usable", THE_APP, APP[1]),
        ("newest-good", THE_APP, APP[2]),
        ("newest-proven", THE_APP, APP[3]),
        ("newest", THE_CLUSTER, CLUSTER),
        ("20260205T000000Z-cccc", THE_APP, APP[2]),
        ("20260205", THE_APP, APP[2]),
        ("20260205", THE_CLUSTER, APP[2]),
        ("platform/db/app/20260204T000000Z-dddd", THE_CLUSTER, APP[3]),
        ("platform/db/app/20260204T000000Z-dddd/", THE_APP, APP[3]),
        ("2026", THE_CLUSTER, CLUSTER),
    ],
)
def test_what_a_set_may_be_called(text: str, asset: Asset, expected: StoredSet) -> None:
    assert FOUND.find(text, asset) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("newest", APP[0]), ("newest-usable", APP[1]), ("newest-good", APP[2]), ("newest-proven", APP[3])],
)
def test_the_newest_of_an_asset_by_each_word(word: str, expected: StoredSet) -> None:
    assert FOUND.newest(THE_APP, word) == expected
    assert FOUND.newest(THE_CLUSTER, word) == (CLUSTER if word in ("newest", "newest-usable") else None)
    assert FOUND.newest(Asset("platform", "volume", "app"), word) is None


@pytest.mark.parametrize(
    "text", ["", "20270101", "newest-", "platform/db/app", "platform/cluster/20260204T000000Z-dddd", "../x"]
)
def test_an_unknown_set_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FOUND.find(text, THE_APP)
    assert str(caught.value) == f"There is no set {text!r} in /srv/backups; `list` shows those that are stored."


def test_an_ambiguous_start_names_two_of_them() -> None:
    with pytest.raises(ConfigurationError) as caught:
        FOUND.find("2026", THE_APP)
    assert str(caught.value) == (
        "'2026' fits 4 sets in /srv/backups, among them platform/db/app/20260207T000000Z-aaaa and "
        "platform/db/app/20260206T000000Z-bbbb; give more of the id, or the whole key."
    )


def test_a_set_without_a_manifest_is_not_found_but_named() -> None:
    with pytest.raises(ConfigurationError, match="has no manifest: it is being written, or was never finished"):
        FOUND.find("20260208T000000Z-ffff", THE_APP)


def test_an_asset_without_such_a_set_says_so() -> None:
    with pytest.raises(OperationFailed) as caught:
        FOUND.find("newest-proven", THE_CLUSTER)
    assert str(caught.value) == (
        "There is no proven set of the cluster of platform in /srv/backups; `list` shows what is stored."
    )
    with pytest.raises(ConfigurationError, match=r"^There is no set of db 'gone' of platform in"):
        FOUND.find("newest", Asset("platform", "db", "gone"))
