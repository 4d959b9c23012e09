"""What a check says: what is overdue, since when, and what to do."""

from __future__ import annotations

from engine.reports.freshness import freshness_report, overdue_sentence
from engine.repository.catalogue import catalogue
from engine.repository.freshness import freshness
from engine.repository.repository import Repository
from tests.engine.repository.made import a_key, judge, store_set, when
from tests.engine.repository.test_freshness import NOW, a_store


def test_the_sentence_says_what_since_when_and_what_to_do() -> None:
    store = a_store()
    store.objects = {key: data for key, data in store.objects.items() if "-drill-" not in key}
    now = when("2026-02-08 20:30")
    found = freshness("platform", {"nightly": catalogue(Repository(store))}, now, {"cluster": 26})
    sentence = overdue_sentence(found, now)
    assert sentence.startswith("Cluster of platform in nightly was last recorded 27 h 30 min ago (2026-02-0")
    assert ", was never proven, where 26 h are allowed; look at the last runs of nightly-backup " in sentence
    report = freshness_report(found, now)
    assert (report.title, report.sentence) == ("Check of platform: OVERDUE", sentence)
    assert [row[3:] for row in report.tables[0].rows][2] == ("proven", "never", "-", "OVERDUE")


def test_where_all_is_in_time_nothing_is_said() -> None:
    found = freshness("platform", {"n": catalogue(Repository(a_store()))}, NOW, {"cluster": 26})
    assert overdue_sentence(found, NOW) == ""


def test_a_newest_set_that_failed_is_what_is_said() -> None:
    store = a_store()
    judge(store, store_set(store, a_key("2026-02-08 02:00")), "drill", "failed", "2026-02-08 04:00")
    found = freshness("platform", {"nightly": catalogue(Repository(store))}, NOW, {"cluster": 26})
    report = freshness_report(found, NOW)
    assert (report.title, report.sentence) == (
        "Check of platform: FAILED",
        "Cluster of platform in nightly failed with its newest set 20260208T020000Z-abcd1234 (`show` says why); look at "
        "the last runs of nightly-backup (platformctl backup), or start one.",
    )
    assert [row[-1] for row in report.tables[0].rows] == ["FAILED", "in time", "in time"]
