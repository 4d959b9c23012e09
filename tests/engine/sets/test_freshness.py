"""When a server was last recorded, verified, proven: facts against literals."""

from __future__ import annotations

from datetime import datetime

import pytest

from engine.reports.freshness import freshness_report, overdue_sentence
from engine.sets.catalogue import catalogue
from engine.sets.freshness import freshness
from tests.engine.sets.made import MemoryStore, a_key, judge, store_set, when

NOW = when("2026-02-08 09:00")


def a_store() -> MemoryStore:
    """One night: recorded at 17:00, verified at 18:00, proven at 19:00 of the 7th."""
    store = MemoryStore()
    key = store_set(store, a_key("2026-02-07 17:00"))
    judge(store, key, "verify", "passed", "2026-02-07 18:00")
    judge(store, key, "drill", "passed", "2026-02-07 19:00")
    return store


def overdue(store: MemoryStore, now: datetime = NOW, hours: float = 26) -> set[str]:
    found = freshness("platform", {"nightly": catalogue(store, "platform")}, now, hours)
    assert [one.word for one in found] == ["recorded", "verified", "proven"]
    return {one.word for one in found if not one.fresh}


def test_a_whole_night_is_in_time() -> None:
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


def test_another_server_does_not_count_and_one_database_does_not_record_the_server() -> None:
    store = MemoryStore()
    other = store_set(store, a_key("2026-02-08 02:00", server="other"))
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
    stored = {"nightly": catalogue(a_store()), "offsite": catalogue(MemoryStore())}
    found = freshness("platform", stored, NOW)
    assert [(one.store, one.word) for one in found if not one.fresh] == [
        ("offsite", "recorded"),
        ("offsite", "verified"),
    ]


def test_the_sentence_says_what_since_when_and_what_to_do() -> None:
    store = a_store()
    store.objects = {key: data for key, data in store.objects.items() if "-drill-" not in key}
    now = when("2026-02-08 20:30")
    found = freshness("platform", {"nightly": catalogue(store)}, now)
    sentence = overdue_sentence(found, now, 26)
    assert sentence.startswith("platform in nightly was last recorded 27 h 30 min ago (2026-02-0")
    assert ", was never proven, where 26 h are allowed; look at the last runs of nightly-backup " in sentence
    report = freshness_report(found, now, 26)
    assert (report.title, report.sentence) == ("Check of platform: OVERDUE", sentence)
    assert [row[2:] for row in report.tables[0].rows][2] == ("proven", "never", "-", "OVERDUE")
    assert overdue_sentence(freshness("platform", {"n": catalogue(a_store())}, NOW), NOW, 26) == ""
