"""All that is kept in one table for each platform, whatever kind it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.reports.listing import list_report
from engine.reports.overview import kept_in, overview_report
from engine.reports.stored_sets import listing_of
from engine.repository.catalogue import catalogue
from engine.repository.keys import Asset, SetKey
from engine.repository.repository import Repository
from engine.repository.unchanged import record_unchanged
from engine.repository.verdict_keys import VerdictKey
from engine.sources.registry import default_retention
from tests.engine.repository.made import MemoryStore, a_key, judge, store_set, when

NOW = when("2026-02-08 20:00")
PLATFORMS = {"platform": "kecp", "tls": "kecp"}


def a_backup_run() -> Repository:
    repository = Repository(MemoryStore(), retention=default_retention())
    for name in ("", "app"):
        key = store_set(repository.store, a_key("2026-02-08 02:00", name))
        judge(repository.store, key, "drill", "passed", "2026-02-08 04:00")
    store_set(repository.store, a_key("2026-02-07 02:00"))
    store_set(repository.store, a_key("2026-02-08 03:00", source="other"))
    held = store_set(repository.store, SetKey("tls", "certificate", "", "20260101T000000Z-abcd1234"))
    record_unchanged(repository, held, when("2026-02-08 03:30"), {})
    return repository


def test_each_thing_has_its_newest_set_its_age_its_state_and_when_it_was_proven() -> None:
    kept = kept_in("nightly", catalogue(a_backup_run()), NOW)
    report = overview_report(kept, PLATFORMS, NOW)
    assert report.sentence == "4 things; of 2 the newest set is proven."
    [platform, others] = report.tables
    assert (platform.title, others.title) == ("Platform kecp", "Of no platform")
    assert [row[:2] + row[3:6] for row in platform.rows] == [
        ("platform", "cluster", "18 h 00 min", "proven", "2026-02-08 04:00 UTC"),
        ("platform", "db app", "18 h 00 min", "proven", "2026-02-08 04:00 UTC"),
        ("tls", "certificate", "16 h 30 min", "recorded", "never"),
    ]
    assert [row[:2] for row in others.rows] == [("other", "cluster")]


def test_the_time_it_takes_is_that_of_the_things_and_their_verdicts_and_not_of_their_product() -> None:
    store = MemoryStore()
    for number in range(400):
        key = store_set(store, a_key("2026-02-08 02:00", f"layer{number}", kind="blob"))
        judge(store, key, "verify", "passed", "2026-02-08 04:00")
    stored = catalogue(Repository(store))
    looked = 0

    class Counted(tuple[VerdictKey, ...]):
        def __iter__(self) -> Iterator[VerdictKey]:
            nonlocal looked
            for one in super().__iter__():
                looked += 1
                yield one

    found = kept_in("nightly", replace(stored, verdicts=Counted(stored.verdicts)), NOW)
    assert len(found) == 400 and looked == 400
    assert kept_in("nightly", stored, NOW, but=("blob",)) == ()


def test_a_list_of_several_sources_begins_with_it() -> None:
    repository = a_backup_run()
    all_of_it = list_report([listing_of(repository, None, NOW)], NOW, PLATFORMS)
    assert [table.title.partition(" in ")[0] for table in all_of_it.tables] == [
        "Platform kecp", "Of no platform", "other", "platform", "tls",
    ]  # fmt: skip
    one = list_report([listing_of(repository, "platform", NOW)], NOW, PLATFORMS)
    assert [table.title.partition(" in ")[0] for table in one.tables] == ["platform"]
    assert Asset("tls", "certificate", "") in {each.asset for each in listing_of(repository, None, NOW).kept}
