"""When an asset was last recorded, verified, proven: facts against literals."""

from __future__ import annotations

from datetime import datetime

import pytest

from engine.repository.catalogue import catalogue
from engine.repository.freshness import freshness, proven_by
from engine.repository.keys import Asset, SetKey, new_set_id
from engine.repository.repository import Repository
from tests.engine.repository.made import MemoryStore, a_key, judge, store_set, when

NOW = when("2026-02-08 09:00")
CLUSTER = Asset("platform", "cluster", "")


def a_store() -> MemoryStore:
    """One backup run: recorded at 17:00, verified at 18:00, proven at 19:00 of the 7th."""
    store = MemoryStore()
    key = store_set(store, a_key("2026-02-07 17:00"))
    judge(store, key, "verify", "passed", "2026-02-07 18:00")
    judge(store, key, "drill", "passed", "2026-02-07 19:00")
    return store


def overdue(store: MemoryStore, now: datetime = NOW, hours: float = 26) -> set[str]:
    found = freshness("platform", {"nightly": catalogue(Repository(store), "platform")}, now, {"cluster": hours})
    assert {(one.asset, one.store, one.max_hours) for one in found} == {(CLUSTER, "nightly", hours)}
    assert [one.word for one in found] == ["recorded", "verified", "proven"]
    return {one.word for one in found if not one.fresh}


def test_a_whole_backup_run_is_in_time() -> None:
    assert overdue(a_store()) == set()


@pytest.mark.parametrize(
    ("now", "late"),
    [
        ("2026-02-08 19:00", set()),
        ("2026-02-08 19:01", {"recorded"}),
        ("2026-02-08 20:01", {"recorded", "verified"}),
        ("2026-02-08 21:01", {"recorded", "verified", "proven"}),
    ],
)
def test_each_is_overdue_after_26_hours_of_its_own(now: str, late: set[str]) -> None:
    assert overdue(a_store(), when(now)) == late


def test_what_never_was_is_overdue() -> None:
    assert overdue(MemoryStore()) == {"recorded", "verified", "proven"}


@pytest.mark.parametrize("result", ["failed", "unverified", "sampled"])
def test_only_a_pass_counts(result: str) -> None:
    store = MemoryStore()
    key = store_set(store, a_key("2026-02-08 02:00"))
    judge(store, key, "drill", result, "2026-02-08 03:00")  # type: ignore[arg-type]
    if result != "sampled":
        judge(store, key, "verify", result, "2026-02-08 03:00")  # type: ignore[arg-type]
    assert overdue(store) == {"verified", "proven"} | ({"recorded"} if result == "failed" else set())


def test_a_passed_drill_of_a_set_that_names_what_it_lacks_counts() -> None:
    store = MemoryStore()
    judge(store, store_set(store, a_key("2026-02-08 02:00")), "drill", "incomplete", "2026-02-08 03:00")
    assert overdue(store) == {"verified"}


def test_another_source_does_not_count_and_one_database_does_not_record_the_cluster() -> None:
    store = MemoryStore()
    other = store_set(store, a_key("2026-02-08 02:00", source="other"))
    judge(store, other, "verify", "passed", "2026-02-08 03:00")
    judge(store, other, "drill", "passed", "2026-02-08 03:00")
    store_set(store, a_key("2026-02-08 02:00", "app"))
    assert overdue(store) == {"recorded", "verified", "proven"}


def test_a_verdict_from_the_future_keeps_no_alarm_silent() -> None:
    store = MemoryStore()
    key = store_set(store, a_key("2026-02-09 02:00"))
    judge(store, key, "drill", "passed", "2027-01-01")
    judge(store, key, "verify", "passed", "2026-02-08 09:05")  # another host's clock, a little ahead
    assert overdue(store) == {"recorded", "proven"}


def test_a_further_copy_is_asked_for_everything_but_the_proof() -> None:
    stored = {"nightly": catalogue(Repository(a_store())), "offsite": catalogue(Repository(MemoryStore()))}
    found = freshness("platform", stored, NOW, {"cluster": 26})
    assert [(one.store, one.word) for one in found if not one.fresh] == [
        ("offsite", "recorded"),
        ("offsite", "verified"),
    ]


def test_while_the_newest_set_has_failed_nothing_that_passed_before_keeps_it_green() -> None:
    """A whole backup run passed; then a newer set, and only that, failed its drill: it is what would be restored today."""
    store = a_store()
    newest = store_set(store, a_key("2026-02-08 02:00"))
    judge(store, newest, "verify", "passed", "2026-02-08 03:00")
    judge(store, newest, "drill", "failed", "2026-02-08 04:00")
    found = freshness("platform", {"nightly": catalogue(Repository(store))}, NOW, {"cluster": 26})
    assert [(one.word, one.fresh, one.failed) for one in found] == [
        ("recorded", False, newest),
        ("verified", True, None),
        ("proven", True, None),
    ]
    store_set(store, a_key("2026-02-08 05:00"))
    assert overdue(store) == set()


def test_a_server_is_proven_by_its_cluster_set_or_by_every_database_of_the_same_backup_run() -> None:
    store = MemoryStore()
    began = when("2026-02-08 02:00")  # each set of a run has an id of its own
    kinds = {"": "cluster", "app": "db", "hub": "db"}
    keys = [
        store_set(store, SetKey("platform", kind, name, new_set_id(began, "token", kind, name)))
        for name, kind in kinds.items()
    ]
    assert len({key.set_id for key in keys}) == 3
    other = store_set(store, a_key("2026-02-08 05:00", "app"))  # of another run
    judge(store, keys[1], "drill", "passed", "2026-02-08 06:00")
    judge(store, other, "drill", "passed", "2026-02-08 07:00")
    assert overdue(store) == {"verified", "proven"}
    judge(store, keys[2], "drill", "incomplete", "2026-02-08 08:00")
    assert overdue(store) == {"verified"}
    assert overdue(store, when("2026-02-09 08:01")) == {"recorded", "verified", "proven"}  # of its oldest part
    stored = catalogue(Repository(store))
    assert [asset.label for asset in proven_by(stored, keys[2])] == ["db hub", "cluster"]
    assert [asset.label for asset in proven_by(stored, other)] == ["db app"]


# --- by kind


def judged(store: MemoryStore, max_age_hours: dict[str, float]) -> dict[tuple[str, str], bool]:
    """Whether each is in time, by what it is of."""
    found = freshness("platform", {"nightly": catalogue(Repository(store), "platform")}, NOW, max_age_hours)
    return {(one.asset.label, one.word): one.fresh for one in found}


def test_each_kind_has_its_own_age() -> None:
    store = MemoryStore()
    store_set(store, a_key("2026-02-07 17:00"))
    store_set(store, a_key("2026-02-07 17:00", "app"))
    found = judged(store, {"cluster": 26, "db": 12})
    assert [key for key, fresh in found.items() if fresh] == [("cluster", "recorded")]
    assert [label for label, word in found if word == "recorded"] == ["cluster", "db app"]


def test_each_thing_of_a_kind_is_asked_for_by_itself() -> None:
    store = MemoryStore()
    for name, backup_run in (("app", "2026-02-08 02:00"), ("old", "2026-02-01 02:00")):
        key = store_set(store, a_key(backup_run, name))
        judge(store, key, "verify", "passed", "2026-02-08 03:00")
        judge(store, key, "drill", "passed" if name == "app" else "failed", "2026-02-08 03:00")
    assert judged(store, {"db": 26}) == {
        ("db app", "recorded"): True,
        ("db app", "verified"): True,
        ("db app", "proven"): True,
        ("db old", "recorded"): False,
        ("db old", "verified"): True,
        ("db old", "proven"): False,
    }


def test_what_was_proven_of_one_says_nothing_of_another_with_the_same_id() -> None:
    store = MemoryStore()
    a, b = (store_set(store, a_key("2026-02-08 02:00", name)) for name in ("a", "b"))
    assert a.set_id == b.set_id
    judge(store, a, "drill", "passed", "2026-02-08 03:00")
    found = judged(store, {"db": 26})
    assert (found["db a", "proven"], found["db b", "proven"]) == (True, False)


def test_of_a_kind_that_has_no_set_one_line_says_so() -> None:
    found = freshness("platform", {"nightly": catalogue(Repository(MemoryStore()))}, NOW, {"db": 26})
    assert [(one.asset, one.word, one.at, one.fresh) for one in found] == [
        (Asset("platform", "db", ""), word, None, False) for word in ("recorded", "verified", "proven")
    ]


def test_what_is_declared_is_asked_for_although_nothing_is_stored_of_it() -> None:
    store, hours = MemoryStore(), {"db": 26.0}
    store_set(store, a_key("2026-02-07 17:00", "desk"))
    stored = {"nightly": catalogue(Repository(store))}
    found = freshness("platform", stored, NOW, hours, ("left-out",), {"db": ("desk", "hub", "left-out")})
    recorded = {one.asset.name: one.fresh for one in found if one.word == "recorded"}
    assert recorded == {"desk": True, "hub": False}


def test_a_kind_that_nobody_waits_for_or_knows_is_not_asked_for() -> None:
    store = a_store()
    store_set(store, a_key("2020-01-01", "app"))
    store_set(store, a_key("2020-01-01", "x", kind="hologram"))
    assert {label for label, _ in judged(store, {"cluster": 26})} == {"cluster"}
    assert judged(store, {}) == {}


def test_a_further_store_is_asked_for_what_the_source_s_own_store_has() -> None:
    mine, theirs = MemoryStore(), MemoryStore()
    store_set(mine, a_key("2026-02-08 02:00", "app"))
    store_set(theirs, a_key("2026-02-08 02:00", "gone"))
    stored = {"nightly": catalogue(Repository(mine)), "offsite": catalogue(Repository(theirs))}
    found = freshness("platform", stored, NOW, {"db": 26})
    assert [(one.asset.name, one.word, one.fresh) for one in found if one.store == "offsite"] == [
        ("app", "recorded", False),
        ("app", "verified", False),
    ]
