"""The catalogue: from the keys alone, and what an operator may call a set."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ConfigurationError, OperationFailed
from engine.sets.catalogue import Catalogue, IncompleteSet, StoredSet, catalogue, measured
from engine.sets.keys import SetKey
from engine.sets.manifest import to_json
from engine.stores.folder import FolderStore
from tests.engine.sets.made import MemoryStore, a_body, a_key, judge, store_set, when, write


def test_everything_of_a_store_by_its_keys(tmp_path: Path) -> None:
    store = FolderStore("local", tmp_path)
    cluster = store_set(store, a_key("2026-02-07 17:00"), {"000-globals.sql.gz": b"12345"})
    app = store_set(store, a_key("2026-02-06 17:00", "app"), {"app.dump.gz": b"123"})
    hangul = store_set(store, a_key("2026-02-05 17:00", "한 글/.."), {})
    other = store_set(store, a_key("2026-02-07 17:00", server="other"), {})
    running = a_key("2026-02-07 17:30", "app")
    write(store, running.prefix + "app.dump.gz", b"1234")
    judge(store, app, "drill", "passed", "2026-02-06 19:00")
    judge(store, cluster, "verify", "failed", "2026-02-07 20:00")

    found = catalogue(store, "platform", sizes=True)
    assert {(one.key, one.state, one.files) for one in found.sets} == {
        (cluster, "failed", 2),
        (app, "proven", 2),
        (hangul, "recorded", 1),
    }
    manifest = len(to_json(a_body(app, {"app.dump.gz": b"123"})))
    assert next(one for one in found.sets if one.key == app).size == manifest + 3
    assert found.incomplete == (IncompleteSet(running, when("2026-02-07 17:30"), 4, 1),)
    assert [(one.set_id, one.kind, one.result) for one in found.verdicts] == [
        (app.set_id, "drill", "passed"),
        (cluster.set_id, "verify", "failed"),
    ]
    assert {one.key for one in catalogue(store).sets} == {cluster, app, hangul, other}
    assert {one.size for one in catalogue(store).sets} == {None}


def test_without_their_files_sets_are_the_same(tmp_path: Path) -> None:
    store = FolderStore("local", tmp_path)
    app, other = store_set(store, a_key("2026-02-06", "app")), store_set(store, a_key("2026-02-06", "other"))
    running = a_key("2026-02-07", "app")
    write(store, running.prefix + "app.dump.gz", b"1234")
    judge(store, app, "drill", "passed", "2026-02-06 19:00")
    for stray in ("", "platform/", "platform/db/", "platform/db/app/", f"platform/verdicts/{app.set_id}/"):
        write(store, f"{stray}manifest.json", b"{}")

    quick, whole = catalogue(store), catalogue(store, files=True)
    assert [(one.key, one.files) for one in quick.sets] == [(app, None), (other, None)]
    assert [(one.key, one.files) for one in whole.sets] == [(app, 3), (other, 3)]
    assert [one._replace(files=3) for one in quick.sets] == list(whole.sets)
    assert (quick.incomplete, quick.verdicts) == (whole.incomplete, whole.verdicts)
    assert [one.key for one in quick.incomplete] == [running]
    assert [one.files for one in measured(store, quick.sets)] == [3, 3]


def test_nothing_is_read_and_one_listing_is_enough() -> None:
    store = MemoryStore()
    for day in range(1, 8):
        key = store_set(store, a_key(f"2026-02-0{day}", "app"))
        store.failing = dict.fromkeys(store.objects, OperationFailed("was read"))
        judge(store, key, "verify", "passed", "2026-02-08")
    assert len(catalogue(store, "platform").sets) == 7
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
        f"platform/verdicts/{key.set_id}/20269999T000000Z-drill-failed.json",
        f"platform/verdicts/{key.set_id}/notes.txt",
    ):
        store.objects[foreign] = b"foreign"
    found = catalogue(store, sizes=True)
    assert [one.key for one in found.sets] == [key]
    assert found.sets[0].files == 3
    assert found.sets[0].size == 6 + len(store.objects[key.manifest])
    assert found.incomplete == ()
    assert found.verdicts == ()


def test_names_that_start_alike_are_kept_apart() -> None:
    store = MemoryStore()
    keys = [
        store_set(store, a_key("2026-02-07", name)) for name in ("app", "app-test", "app/test", "app%2Ftest")
    ]
    assert len({one.key for one in catalogue(store, "platform").sets} & set(keys)) == 4
    assert list(catalogue(store, "platform").scopes) == [
        ("platform", name) for name in ("app%2Ftest", "app/test", "app-test", "app")
    ]
    assert catalogue(store, "plat").sets == ()


def test_a_hostile_server_name_lists_nothing() -> None:
    store = MemoryStore()
    with pytest.raises(ConfigurationError, match="is not a server's name"):
        catalogue(store, "../other")
    assert store.requests == []


def test_a_pass_means_nothing_where_two_sets_share_an_id() -> None:
    store = MemoryStore()
    one, other = store_set(store, a_key("2026-02-07", "app")), store_set(store, a_key("2026-02-07"))
    assert one.set_id == other.set_id
    judge(store, one, "drill", "passed", "2026-02-08")
    assert [found.state for found in catalogue(store).sets] == ["recorded", "recorded"]
    judge(store, one, "drill", "failed", "2026-02-09")
    assert [found.state for found in catalogue(store).sets] == ["failed", "failed"]


# --- finding


def a_set(text: str, token: str, state: str, database: str | None = None) -> StoredSet:
    key = SetKey("platform", database, f"{when(text):%Y%m%dT%H%M%SZ}-{token}")
    return StoredSet(key, key.created, state, 1, 2)  # type: ignore[arg-type]


APP = [
    a_set("2026-02-07", "aaaa", "failed", "app"),
    a_set("2026-02-06", "bbbb", "recorded", "app"),
    a_set("2026-02-05", "cccc", "verified", "app"),
    a_set("2026-02-04", "dddd", "proven", "app"),
]
CLUSTER = a_set("2026-02-03", "eeee", "recorded")
RUNNING = IncompleteSet(SetKey("platform", "app", "20260208T000000Z-ffff"), when("2026-02-08"), None, 1)
FOUND = Catalogue("/srv/backups", (*APP[::-1], CLUSTER), (RUNNING,), ())


@pytest.mark.parametrize(
    ("text", "database", "expected"),
    [
        ("newest", "app", APP[0]),
        ("newest-good", "app", APP[2]),
        ("newest-proven", "app", APP[3]),
        ("newest", None, CLUSTER),
        ("20260205T000000Z-cccc", "app", APP[2]),
        ("20260205", "app", APP[2]),
        ("20260205", None, APP[2]),
        ("platform/db/app/20260204T000000Z-dddd", None, APP[3]),
        ("platform/db/app/20260204T000000Z-dddd/", "app", APP[3]),
        ("2026", None, CLUSTER),
    ],
)
def test_what_a_set_may_be_called(text: str, database: str | None, expected: StoredSet) -> None:
    assert FOUND.find(text, "platform", database) == expected


@pytest.mark.parametrize(
    "text", ["", "20270101", "newest-", "platform/db/app", "platform/cluster/20260204T000000Z-dddd", "../x"]
)
def test_an_unknown_set_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FOUND.find(text, "platform", "app")
    assert (
        str(caught.value) == f"There is no set {text!r} in /srv/backups; `list` shows those that are stored."
    )


def test_an_ambiguous_start_names_two_of_them() -> None:
    with pytest.raises(ConfigurationError) as caught:
        FOUND.find("2026", "platform", "app")
    assert str(caught.value) == (
        "'2026' fits 4 sets in /srv/backups, among them platform/db/app/20260207T000000Z-aaaa and "
        "platform/db/app/20260206T000000Z-bbbb; give more of the id, or the whole key."
    )


def test_a_set_without_a_manifest_is_not_found_but_named() -> None:
    with pytest.raises(
        ConfigurationError, match="has no manifest: it is being written, or was never finished"
    ):
        FOUND.find("20260208T000000Z-ffff", "platform", "app")


def test_a_scope_without_such_a_set_says_so() -> None:
    with pytest.raises(OperationFailed) as caught:
        FOUND.find("newest-proven", "platform")
    assert str(caught.value) == (
        "There is no proven set of the cluster of platform in /srv/backups; `list` shows what is stored."
    )
    with pytest.raises(OperationFailed, match=r"^There is no set of database 'gone' of platform in"):
        FOUND.find("newest", "platform", "gone")
