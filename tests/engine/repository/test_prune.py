"""Prune: exactly what retention lets go, manifest first, and a kill at any point does no harm."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.settings import Retention
from engine.errors import DamagedSet
from engine.repository.catalogue import catalogue
from engine.repository.keys import MANIFEST, SetKey
from engine.repository.prune import apply_prune
from engine.repository.prune_plan import plan_of, plan_prune
from engine.repository.repository import Repository
from engine.repository.sweep import sweep_incomplete
from engine.repository.writing import SetWriter
from engine.stores.base import Deletion
from engine.stores.folder import FolderStore
from tests.engine.repository.made import NOW, MemoryStore, a_key, judge, store_set, write

POLICY = {"cluster": Retention(days=5, minimum=2), "db": Retention(days=3, minimum=1)}


def a_week(store: MemoryStore | FolderStore, name: str = "") -> list[SetKey]:
    """Eight nightly sets, an hour old and older, newest first; nobody has judged them yet."""
    keys = [a_key(f"{NOW - timedelta(days=day, hours=1):%Y-%m-%d %H:%M}", name) for day in range(8)]
    return [store_set(store, key) for key in keys]


def ids(keys: Iterable[SetKey]) -> list[str]:
    return sorted(str(key) for key in keys)


def test_each_kind_has_its_own_policy(tmp_path: Path) -> None:
    store = FolderStore("local", tmp_path)
    cluster, app = a_week(store), a_week(store, "app")
    test = store_set(store, a_key("2026-02-01 17:00", "app-test"))
    other = store_set(store, a_key("2025-01-01", source="other"))
    assert plan_prune(Repository(store, retention=POLICY), "platform", NOW).bytes_to_free is None
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW, sizes=True)
    assert plan.doubt is None
    assert ids(one.key for one in plan.pruned) == ids([*cluster[5:], *app[3:]])
    sizes = {one.key: one.size or 0 for one in catalogue(Repository(store), sizes=True).sets}
    assert plan.bytes_to_free == sum(sizes[key] for key in [*cluster[5:], *app[3:]])
    assert {one.key for one in catalogue(Repository(store)).sets} >= {*cluster, *app, test, other}

    report = apply_prune(Repository(store), plan)
    assert ids(report.deleted) == ids([*cluster[5:], *app[3:]])
    assert (report.retained, report.spared, report.bytes_freed) == ((), (), plan.bytes_to_free)
    assert {one.key for one in catalogue(Repository(store)).sets} == {*cluster[:5], *app[:3], test, other}
    assert catalogue(Repository(store)).incomplete == ()
    assert not (tmp_path / app[3].prefix).exists()


def test_sets_of_a_kind_that_nothing_here_knows_stay_and_say_why() -> None:
    store = MemoryStore()
    a_week(store)
    unknown = [store_set(store, a_key(f"202{year}-01-01", "x", kind="hologram")) for year in range(3, 7)]
    repository = Repository(store, retention=POLICY)
    plan = plan_prune(repository, "platform", NOW)
    assert {one.set.key: (one.keep, one.reasons) for one in plan.decisions if one.set.key in unknown} == dict.fromkeys(
        unknown, (True, ("nothing here says how long sets of kind hologram are kept",))
    )
    assert len(plan.pruned) == 3
    apply_prune(repository, plan)
    assert {one.key for one in catalogue(repository).sets} >= set(unknown)


def test_where_nothing_says_how_long_anything_is_kept_nothing_goes() -> None:
    store = MemoryStore()
    a_week(store)
    plan = plan_prune(Repository(store), "platform", NOW)
    assert (plan.pruned, plan.policy, len(plan.kept)) == ((), {}, 8)
    assert apply_prune(Repository(store, retention=POLICY), plan).deleted == ()


def test_a_kind_that_shares_its_names_with_another_has_its_own_policy() -> None:
    store = MemoryStore()
    app = a_week(store, "app")
    volume = [store_set(store, key._replace(kind="volume")) for key in app]
    retention = {**POLICY, "volume": Retention(days=6, minimum=1)}
    plan = plan_prune(Repository(store, retention=retention), "platform", NOW)
    assert ids(one.key for one in plan.pruned) == ids([*app[3:], *volume[6:]])


def test_a_pass_of_one_database_keeps_no_other_s_set_of_the_same_id() -> None:
    store = MemoryStore()
    a, b = a_week(store, "a"), a_week(store, "b")
    judge(store, a[7], "drill", "passed", "2026-02-07 17:30")
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW)
    assert ids(one.key for one in plan.pruned) == ids([*a[3:7], *b[3:]])
    assert next(one.reasons for one in plan.decisions if one.set.key == a[7]) == (
        "newest proven",
        "the one kept at least",
    )


def test_a_plan_is_plain_data() -> None:
    store = MemoryStore()
    a_week(store, "app")
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW)
    document = json.loads(json.dumps(asdict(plan), default=str))
    (key, _, state, *_), keep, reasons = document["decisions"][7]
    assert key == ["platform", "db", "app", "20260131T170000Z-abcd1234"]
    assert (state, keep, reasons) == ("recorded", False, ["older than 3 days"])
    assert document["policy"]["db"]["days"] == 3
    json.dumps(asdict(apply_prune(Repository(store), plan)))


def test_planning_changes_nothing() -> None:
    store = MemoryStore()
    a_week(store)
    before = dict(store.objects)
    plan_prune(Repository(store, retention=POLICY), "platform", NOW)
    assert store.objects == before
    assert store.requests == ["list platform/"]


def test_requests_grow_with_thousands_of_keys_not_with_sets() -> None:
    store = MemoryStore()
    for day in range(600):
        store_set(store, a_key(f"{NOW - timedelta(days=day, hours=1):%Y-%m-%d %H:%M}", "app"))
    report = apply_prune(Repository(store), plan_prune(Repository(store, retention=POLICY), "platform", NOW))
    assert len(report.deleted) == 597
    assert store.requests == [
        "list platform/",
        "list platform/",
        *("delete 250", "delete 500", "delete 250", "delete 500", "delete 97", "delete 194"),
    ]


def test_the_clock_is_judged_by_the_whole_source() -> None:
    store = MemoryStore()
    a_week(store)
    dropped = [store_set(store, a_key(f"2026-01-0{day} 17:00", "dropped")) for day in (3, 2, 1)]
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW)
    assert plan.doubt is None
    assert [one.key for one in plan.pruned if one.key.kind == "db"] == dropped[1:]


@pytest.mark.parametrize(("hours", "reported", "gone"), [(24 * 8, False, 0), (24 * 8, True, 6), (-2, False, 0)])
def test_a_doubted_clock_prunes_nothing_until_told(hours: int, reported: bool, gone: int) -> None:
    store = MemoryStore()
    a_week(store)
    now = NOW + timedelta(hours=hours)
    plan = plan_prune(Repository(store, retention=POLICY), "platform", now, allow_clock_jump=reported)
    assert len(plan.pruned) == gone
    assert (plan.doubt is None) == reported
    report = apply_prune(Repository(store), plan)
    assert len(report.deleted) == gone
    assert report.doubt == plan.doubt


def test_verdicts_and_remains_are_part_of_the_trail() -> None:
    store = MemoryStore()
    for text in ("2026-02-07 17:00", "2026-01-29 17:00", "2026-01-28 17:00"):
        store_set(store, a_key(text, "app"))
    assert plan_prune(Repository(store, retention=POLICY), "platform", NOW).doubt is not None
    write(store, a_key("2026-02-02", "app").prefix + "app.dump.gz", b"half")
    assert plan_prune(Repository(store, retention=POLICY), "platform", NOW).doubt is None
    sweep_incomplete(Repository(store), "platform", NOW)
    assert plan_prune(Repository(store, retention=POLICY), "platform", NOW).doubt is not None
    judge(store, a_key("2026-01-29 17:00", "app"), "verify", "passed", "2026-02-02")
    assert plan_prune(Repository(store, retention=POLICY), "platform", NOW).doubt is None


def test_a_doubted_clock_keeps_old_verdicts_too() -> None:
    store = MemoryStore()
    judge(store, store_set(store, a_key("2026-02-07 17:00", "app")), "drill", "unverified", "2026-02-07 18:00")
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW + timedelta(days=100))
    assert (plan.expired_verdicts, apply_prune(Repository(store), plan).verdicts_deleted) == (0, 0)
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW + timedelta(days=100), allow_clock_jump=True)
    assert (plan.expired_verdicts, apply_prune(Repository(store), plan).verdicts_deleted) == (1, 1)


def test_verdicts_stay_90_days_for_the_trend_of_drills() -> None:
    store = MemoryStore()
    keys = a_week(store, "app")
    judge(store, keys[7], "drill", "passed", "2026-01-31 20:00")
    judge(store, keys[6], "drill", "passed", "2026-02-01 20:00")
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW)
    report = apply_prune(Repository(store), plan)
    assert keys[7] in report.deleted
    assert report.verdicts_deleted == 0
    assert [one.set for one in catalogue(Repository(store)).verdicts] == [keys[7], keys[6]]

    later = NOW + timedelta(days=91)
    plan = plan_prune(Repository(store, retention=POLICY), "platform", later, allow_clock_jump=True)
    assert plan.expired_verdicts == 1
    assert apply_prune(Repository(store), plan).verdicts_deleted == 1
    # It decides the state of the newest proven set, which stays.
    assert [one.set for one in catalogue(Repository(store)).verdicts] == [keys[6]]


# --- what changed between plan and deed


def test_a_newest_good_set_that_failed_meanwhile_takes_no_older_one_along() -> None:
    store = MemoryStore()
    keys = a_week(store, "app")
    for key in keys[:4]:
        judge(store, key, "verify", "passed", "2026-02-07 17:30")
    judge(store, keys[6], "drill", "passed", "2026-02-02")
    for key in keys[:4]:
        judge(store, key, "drill", "passed", "2026-02-07 17:40")
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW)
    assert keys[6] in [one.key for one in plan.pruned]
    for key in keys[:4]:
        judge(store, key, "verify", "failed", "2026-02-07 17:50")
    report = apply_prune(Repository(store), plan)
    assert keys[6] in report.spared
    assert keys[6] in {one.key for one in catalogue(Repository(store)).sets}


def test_what_is_already_gone_is_spared_not_an_error() -> None:
    store = MemoryStore()
    a_week(store)
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW)
    first = apply_prune(Repository(store), plan)
    again = apply_prune(Repository(store), plan)
    assert (again.deleted, again.spared) == ((), tuple(sorted(first.deleted, key=str)))


def test_nothing_that_was_not_planned_goes() -> None:
    store = MemoryStore()
    keys = a_week(store)
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW)
    late = store_set(store, a_key("2026-01-30 17:00"))
    apply_prune(Repository(store), plan)
    assert {one.key for one in catalogue(Repository(store)).sets} == {*keys[:5], late}


def test_foreign_files_beside_a_set_are_never_deleted() -> None:
    store = MemoryStore()
    keys = a_week(store)
    foreign = [f"{keys[7].prefix}notes/why.txt", "platform/cluster/README", f"{keys[7]}-copy/manifest.json"]
    store.objects.update(dict.fromkeys(foreign, b"mine"))
    apply_prune(Repository(store), plan_prune(Repository(store, retention=POLICY), "platform", NOW))
    assert [name for name in foreign if name not in store.objects] == []
    assert keys[7].manifest not in store.objects


# --- object lock


def test_a_set_whose_manifest_is_locked_stays_whole() -> None:
    store = MemoryStore()
    keys = a_week(store)
    before = {name for name in store.objects if name.startswith(keys[6].prefix)}
    store.locked = {keys[6].manifest}
    report = apply_prune(Repository(store), plan_prune(Repository(store, retention=POLICY), "platform", NOW))
    assert ids(report.deleted) == ids([keys[5], keys[7]])
    assert report.retained == (keys[6].manifest,)
    assert before <= store.objects.keys()


def test_locked_files_are_reported_and_swept_once_the_lock_ends() -> None:
    store = MemoryStore()
    keys = a_week(store)
    locked = keys[6].prefix + "app.dump.gz"
    store.locked = {locked}
    report = apply_prune(Repository(store), plan_prune(Repository(store, retention=POLICY), "platform", NOW))
    assert report.retained == (locked,)
    swept = sweep_incomplete(Repository(store), "platform", NOW)
    assert (swept.deleted, swept.retained) == ((), (locked,))
    store.locked = set()
    assert sweep_incomplete(Repository(store), "platform", NOW).deleted == (keys[6],)
    assert locked not in store.objects


# --- kill -9


@settings(max_examples=60)
@given(st.integers(0, 12))
def test_killed_anywhere_each_set_is_whole_or_gone(deletions: int) -> None:
    store = MemoryStore()
    keys = a_week(store)
    plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW)
    store.dies_after = deletions
    with suppress(KeyboardInterrupt):
        apply_prune(Repository(store), plan)
    store.dies_after = None
    for one in catalogue(Repository(store)).sets:
        names = {name.removeprefix(one.key.prefix) for name in store.objects if name.startswith(one.key.prefix)}
        assert names == {MANIFEST, "app.dump.gz", "proof.json.gz"}
    assert {one.key for one in catalogue(Repository(store)).sets} >= set(keys[:5])
    sweep_incomplete(Repository(store), "platform", NOW)
    apply_prune(Repository(store), plan_prune(Repository(store, retention=POLICY), "platform", NOW))
    assert {one.key for one in catalogue(Repository(store)).sets} == set(keys[:5])
    assert len(store.objects) == 5 * 3


# --- incomplete sets


def leave_remains(store: MemoryStore | FolderStore) -> list[SetKey]:
    """Files without a manifest, begun 30, 20 and 1 hours ago."""
    keys = [a_key(f"{NOW - timedelta(hours=hours):%Y-%m-%d %H:%M}", "app") for hours in (30, 20, 1)]
    for key in keys:
        write(store, key.prefix + "app.dump.gz", b"12345")
    return keys


def test_remains_go_after_a_day(tmp_path: Path) -> None:
    store = FolderStore("local", tmp_path)
    remains, whole = leave_remains(store), store_set(store, a_key("2026-01-01", "app"))
    report = sweep_incomplete(Repository(store), "platform", NOW)
    assert (report.deleted, report.retained, report.bytes_freed) == ((remains[0],), (), 5)
    assert [one.key for one in catalogue(Repository(store)).incomplete] == remains[1:]
    assert [one.key for one in catalogue(Repository(store)).sets] == [whole]


def test_foreign_files_beside_remains_stay() -> None:
    store = MemoryStore()
    remains = leave_remains(store)
    foreign = [f"{remains[0].prefix}notes/why.txt", f"{remains[0].prefix}a b.txt"]
    store.objects.update(dict.fromkeys(foreign, b"mine"))
    assert sweep_incomplete(Repository(store), "platform", NOW).deleted == (remains[0],)
    assert [name for name in foreign if name not in store.objects] == []
    assert remains[0].prefix + "app.dump.gz" not in store.objects


def test_who_holds_the_lock_sweeps_all_but_what_it_writes() -> None:
    store = MemoryStore()
    remains = leave_remains(store)
    other = a_key("2026-01-01", "app", source="other")
    write(store, other.prefix + "app.dump.gz", b"1")
    report = sweep_incomplete(Repository(store), "platform", NOW, older_than=None, keep={remains[2].set_id})
    assert report.deleted == tuple(remains[:2])
    assert [one.key for one in catalogue(Repository(store)).incomplete] == [other, remains[2]]


def test_remains_of_the_future_are_swept_by_the_lock_holder_only() -> None:
    store = MemoryStore()
    leave_remains(store)
    long_ago: datetime = NOW - timedelta(days=400)
    assert sweep_incomplete(Repository(store), "platform", long_ago).deleted == ()
    assert len(sweep_incomplete(Repository(store), "platform", long_ago, older_than=None).deleted) == 3


def test_a_set_finished_since_it_was_listed_is_not_swept() -> None:
    class Slow(MemoryStore):
        def delete(self, keys: Iterable[str]) -> Deletion:
            store_set(self, remains[1])  # while the first of the remains is deleted, the second is finished
            return super().delete(keys)

    store = Slow()
    remains = leave_remains(store)
    report = sweep_incomplete(Repository(store), "platform", NOW, older_than=None)
    assert report.deleted == (remains[0], remains[2])
    assert [one.key for one in catalogue(Repository(store)).sets] == [remains[1]]


def test_what_a_set_that_stays_needs_stays_and_goes_with_it(tmp_path: Path) -> None:
    store = FolderStore("local", tmp_path)
    policy = {"image": Retention(days=0, last=1, minimum=1), "blob": Retention(days=1, minimum=1, needed_by="image")}
    repository = Repository(store, retention=policy)
    day = [f"{NOW - timedelta(days=days, hours=1):%Y-%m-%d %H:%M}" for days in range(3)]
    blobs = {name: store_set(store, a_key(day[2], name, kind="blob")) for name in ("shared", "old", "new", "nobodys")}
    young = store_set(store, a_key(day[0], "young", kind="blob"))
    old, new = a_key(day[1], kind="image"), a_key(day[0], kind="image")
    for key, needs in ((old, ("shared", "old")), (new, ("shared", "new"))):
        out = SetWriter(repository, key)
        out.needs = [blobs[name] for name in needs]
        out.add("images.json", b"{}", "images")
        out.publish(Retention())
    plan = plan_prune(repository, "platform", NOW)
    assert ids(one.key for one in plan.pruned) == ids([old, blobs["old"], blobs["nobodys"]])
    reasons = {one.set.key: one.reasons for one in plan.decisions}
    assert reasons[blobs["shared"]] == ("needed by a set of kind image",)
    assert reasons[young] == ("younger than 1 day",)
    assert ids(apply_prune(repository, plan, spare=[old]).deleted) == ids([blobs["nobodys"]])  # it is drilled just now
    assert ids(apply_prune(repository, plan).deleted) == ids([old, blobs["old"]])

    write(store, new.manifest, b"damaged")  # nobody knows what it needs: nothing goes
    with pytest.raises(DamagedSet):
        plan_prune(repository, "platform", NOW)
    looked = plan_of(catalogue(repository, "platform"), "platform", policy, NOW, False)
    assert {one.keep for one in looked.decisions} == {True}
