"""How results look: aligned text, markdown that shows hostile names as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.errors import OperationFailed
from engine.hosts.settings import HostSettings
from engine.operations.backup_result import BackupResult
from engine.progress import counted
from engine.reports.backup import backup_report
from engine.reports.drill import drill_report
from engine.repository.catalogue import catalogue
from engine.repository.findings import Compared, Difference, DrillResult
from engine.repository.keys import Asset, SetKey
from engine.repository.past_drills import past_drills
from engine.repository.repository import Repository
from engine.repository.verdicts import record_verdict
from engine.run_state import RunState
from engine.sources.item import Item, StoredItem
from engine.sources.postgres.facts import ClusterFacts, DatabaseFacts
from engine.sources.postgres.restore.choice import RestoreChoice
from engine.sources.postgres.restore.report import plan_report, restore_report
from engine.sources.postgres.restore.restore import RestoredDatabase
from engine.sources.postgres.server.databases import DatabaseFound
from engine.sources.postgres.settings import ServerSettings
from engine.sources.postgres.source import PostgresSource
from engine.sources.registry import default_retention, load_settings
from engine.words.layout import Screen
from engine.words.report import Report, Table
from engine.words.run_report import plain_report
from engine.words.wording import escaped, one_line, readable_time, width
from tests.engine.repository.made import MemoryStore, a_body, a_key, a_verdict

_EXAMPLE = Path(__file__).parents[3] / "docs" / "platform-ops.example.toml"


def test_text_is_aligned_also_with_wide_letters() -> None:
    table = Table("Sizes", ("name", "rows"), (("운영 노트", "5"), ("a", "1,204")), right=("rows",))
    report = Report("Title", "It went well.", (("took", "2.0 s"),), (table,), ("Rest.",))
    assert report.as_text() == (
        "Title\nIt went well.\n\ntook  2.0 s\n\n"
        "Sizes\n  name        rows\n  운영 노트      5\n  a          1,204\n\n- Rest.\n"
    )


def test_on_a_narrow_terminal_columns_wrap_and_no_number_is_lost() -> None:
    table = Table(
        "Sets",
        ("begun", "size", "set", "state", "kept because"),
        (
            (
                "2026-11-29 23:30 UTC",
                "1,216.7 MB",
                "20261129T233032Z-fe800a4602",
                "proven, incomplete",
                "the newest; " * 5,
            ),
            ("2026-11-28 23:30 UTC", "0 B", "20261128T233032Z-fe800a4602", "failed", "younger than 7 days"),
        ),
        right=("size",),
    )
    report = Report("Title", "All.", (("stored at", "s3://a-bucket/with/a/long/prefix/" * 3),), (table,))
    for columns in (40, 60, 80):
        lines = report.as_text(Screen(columns)).splitlines()
        assert max(map(width, lines)) <= columns
        assert [line for line in lines if "1,216.7 MB" in line]  # right-aligned: never cut, never wrapped
    assert "\n".join(report.as_text(Screen(60)).splitlines()[7:14]) == (
        "Sets\n"
        "  begun               size  set                state\n"
        "      kept because\n"
        "  2026-11-29    1,216.7 MB  20261129T233032Z-  proven,\n"
        "  23:30 UTC                 fe800a4602         incomplete\n"
        "      the newest; the newest; the newest; the newest; the\n"
        "      newest;"
    )
    assert "kept because" in report.as_text().splitlines()[6]  # a file is as wide as it wants


def test_colours_say_how_something_is_and_nothing_else() -> None:
    rows = (("proven", "proven"), ("failed", "failed, incomplete"))
    text = Report("T", "S.", tables=(Table("", ("was", "state"), rows),)).as_text(Screen(80, colours=True))
    assert text.splitlines()[-2:] == ["  proven  \x1b[32mproven\x1b[0m", "  failed  \x1b[31mfailed, incomplete\x1b[0m"]


def test_markdown_has_the_same_content() -> None:
    table = Table("Sizes", ("name", "rows"), (("a | b", "5"), ("`c`\nd", "1,204")), right=("rows",))
    facts = (("took", "2.0 s"), ("stored", "5 B"))
    report = Report("Title", "It went *well*.", facts, (table,), ("Rest.",))
    assert report.as_markdown() == (
        "**It went \\*well\\*.**\n\n| took | 2.0 s |\n| --- | --- |\n| stored | 5 B |\n\n"
        "## Sizes\n\n| name | rows |\n| --- | ---: |\n| a \\| b | 5 |\n| \\`c\\`\\\\nd | 1,204 |\n\n- Rest.\n"
    )


def test_empty_tables_are_left_out() -> None:
    report = Report("Title", "Nothing.", tables=(Table("Sizes", ("name",), ()),))
    assert report.as_text() == "Title\nNothing.\n"
    assert report.as_markdown() == "**Nothing.**\n"


def test_markdown_is_cut_where_a_browser_would_choke() -> None:
    table = Table("", ("n",), tuple((str(number),) for number in range(1234)))
    markdown = Report("T", "S.", tables=(table,)).as_markdown()
    assert "| 499 |" in markdown
    assert "| 500 |" not in markdown
    assert markdown.endswith("\n\nand 734 more\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("[a](http://b.example)", "\\[a\\](http\\://b.example)"),
        ("www.b.example", "www\\.b.example"),
        ("a_b", "a\\_b"),
        ("# a", "\\# a"),
        ("&amp;", "&amp;amp;"),
        ("a\\|b", "a\\\\\\|b"),
    ],
)
def test_markdown_shows_hostile_text_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_nothing_steers_a_terminal() -> None:
    assert one_line("a\x1b[31mb\nc\u202ed") == "a\\x1b[31mb\\nc\\u202ed"


def test_words() -> None:
    assert (counted(1, "row"), counted(22771, "row")) == ("1 row", "22,771 rows")
    assert (width("ab"), width("운영"), width("e\u0301")) == (2, 4, 1)


def test_times_are_in_the_host_s_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    try:
        assert readable_time(datetime(2026, 2, 6, 17, 0, tzinfo=UTC)) == "2026-02-07 02:00 KST"
    finally:
        monkeypatch.undo()
        time.tzset()


def _drill(**changed: object) -> DrillResult:
    compared = Compared(
        name="a | b",
        differences=0,
        counts={"table": 2, "row": 1204, "sequence": 1, "large object": 0},
        restore_seconds=1.0,
        compare_seconds=0.5,
    )
    values = {
        "set_key": "platform/db/a%20%7C%20b/20260207T170000Z-abcd1234",
        "result": "passed",
        "sentence": "1 database, 2 tables and 1204 rows came back equal",
        "started": datetime(2026, 2, 7, 18, 0, tzinfo=UTC),
        "seconds": 6.0,
        "rto_seconds": 4.5,
        "rpo_seconds": 3600.0,
        "stored_bytes": 2_500_000,
        "compared": (compared,),
        "differences": (),
        "missing": (),
        "remarks": {"PostgreSQL of the source": "16.4", "roles compared": "3"},
    }
    return DrillResult.model_validate({**values, **changed})


def test_past_drills_are_the_newest_of_the_same_asset() -> None:
    """Of the cluster, not of a database of it; neither verifications, nor what cannot be read."""
    store = MemoryStore()
    repository = Repository(store)
    cluster, database = a_key("2026-02-01"), a_key("2026-02-01 01:00", "app")
    for day in range(1, 15):
        for key, hour in ((cluster, 4), (database, 5)):
            verdict = a_verdict(key, f"2026-02-{day:02} {hour:02}:00", "drill", "passed")
            record_verdict(repository, verdict, {"set_key": str(key), "rto_seconds": float(day)})
    record_verdict(repository, a_verdict(cluster, "2026-02-20", "verify", "passed"), {"set_key": str(cluster)})
    damaged = record_verdict(repository, a_verdict(cluster, "2026-02-19", "drill", "passed"), {})
    store.objects[str(damaged)] = b"{"
    other = a_key("2026-02-01", source="other")
    record_verdict(repository, a_verdict(other, "2026-02-20", "drill", "passed"), {"set_key": str(other)})
    found = past_drills(repository, catalogue(repository).verdicts, Asset("platform", "cluster", ""))
    assert [one["rto_seconds"] for one in found] == [float(day) for day in range(14, 4, -1)]
    assert {one["set_key"] for one in found} == {str(cluster)}


def test_a_drill_s_report_has_verdict_rto_rpo_and_trend() -> None:
    past = {
        "result": "incomplete",
        "started": "2026-02-06T18:00:00Z",
        "rto_seconds": 9.0,
        "compared": [{"counts": {"row": 3}}, {"counts": {"row": 4}}, {"counts": 5}, 6],
    }
    markdown = drill_report(_drill(), (past, {"started": "nonsense", "compared": "x"})).as_markdown()
    assert "| a \\| b | equal | 2 | 1,204 | 1 | 0 | 1.0 s | 0.5 s |" in markdown
    assert "| what | verdict | tables | rows | sequences | large objects | restore | compare |" in markdown
    assert "| roles compared | 3 |" in markdown
    assert "| RTO (from nothing to all of it restored) | 4.5 s |" in markdown
    assert "| RPO (age of the set: what would be lost today) | 1 h 00 min |" in markdown
    assert " | passed (incomplete) | 9.0 s | - | 4 | 7 |" in markdown
    assert "| begun | verdict | RTO | RPO | compared | rows |" in markdown


def test_a_failed_drill_shows_its_evidence() -> None:
    difference = Difference(where="kohub", kind="table", name="public.orders", expected="5 rows", found="4 rows")
    text = drill_report(_drill(result="failed", differences=(difference,), sentence="It differs.")).as_text()
    assert text.startswith("Restore drill of platform/db/a%20%7C%20b/20260207T170000Z-abcd1234: FAILED\nIt differs.\n")
    assert "kohub  table  public.orders  5 rows     4 rows" in text
    assert "where  kind   name           backed up  restored" in text
    assert "Do not rely on this set." in text


def test_of_a_thousand_drilled_databases_the_telling_ones_are_shown() -> None:
    row = _drill().compared[0]
    rows = [
        row.model_copy(update={"name": f"app{number}", "counts": {"row": number}, "restore_seconds": 1000.0 - number})
        for number in range(1000)
    ]
    rows[500] = rows[500].model_copy(update={"differences": 1})
    markdown = drill_report(_drill(compared=tuple(rows), result="failed")).as_markdown()
    assert markdown.count("| app") == 33 + 33 + 1
    assert "| app0 | equal |" in markdown
    assert "| app999 | equal |" in markdown
    assert "| app500 | 1 difference |" in markdown
    assert "and 933 more; those that differ most, took longest or are largest are shown" in markdown
    assert len(markdown) < 10_000


def test_of_a_thousand_stored_databases_the_slowest_and_the_largest_are_shown() -> None:
    stored = [_stored(f"app{number}", seconds=float(number), stored_bytes=1000 - number) for number in range(1000)]
    text = backup_report(_result(stored)).as_text()
    assert sum(line.startswith("  db app") for line in text.splitlines()) == 100
    assert "\n  db app0 " in text
    assert "\n  db app49 " in text
    assert "\n  db app50 " not in text
    assert "\n  db app950 " in text
    assert "  and 900 more sets; those that took longest and the largest are shown\n" in text
    few = backup_report(_result(stored[:100])).as_text()
    assert sum(line.startswith("  db app") for line in few.splitlines()) == 100
    assert "more sets" not in few


FACTS = {"server_version": "16.4", "client_version": "16.4", "system_identifier": "7123", "superuser": "postgres"}
CLOSING = Item("cluster", closes=True)


def _stored(
    name: str = "kohub", *, seconds: float = 3.0, stored_bytes: int = 1_000_000, missing: str = ""
) -> StoredItem:
    key = SetKey("platform", "db", name, "20260207T170000Z-abcd1234")
    body = a_body(key, {"app.dump.gz": b""})
    file = body.files[0].model_copy(update={"size": stored_bytes})
    body = body.model_copy(update={"files": (file,), "missing": (missing,) if missing else ()})
    facts = DatabaseFacts.model_validate(
        {
            **FACTS,
            "tables_proven": 2,
            "rows": 1204,
            "large_objects": 0,
            "dump_bytes": 5_000_000,
            "snapshot_seconds": {name: 2.5},
        }
    )
    return StoredItem(DatabaseFound(name=name), key, body, facts, datetime(2026, 2, 7, 17, 0, tzinfo=UTC), seconds)


def _closed() -> StoredItem:
    key = SetKey("platform", "cluster", "", "20260207T170000Z-abcd1234")
    facts = ClusterFacts.model_validate(FACTS)
    body = a_body(key, {"000-globals.sql.gz": b"x" * 2000})
    return StoredItem(CLOSING, key, body, facts, datetime(2026, 2, 7, 17, 1, tzinfo=UTC), 0.5)


def _result(stored: Sequence[StoredItem], *found: str) -> BackupResult:
    """What a run has come to that stored these of a server that has the `found` databases."""
    there = (*(DatabaseFound(name=name, size=1000) for name in found), CLOSING)
    return BackupResult("platform", "nightly", True, there, list(stored), 4.0)


def test_a_backup_says_what_it_stored() -> None:
    report = backup_report(_result([_stored(), _stored("desk"), _closed()]))
    assert report.sentence == (
        "2 databases with 2,408 rows stored in nightly (2.0 MB, 4.0 s), as one cluster set and one set each."
    )
    assert report.facts == (
        ("cluster set", "platform/cluster/20260207T170000Z-abcd1234"),
        ("stored", "2.0 MB, encrypted"),
        ("read from the server", "10.0 MB"),
        ("longest snapshot held", "2.5 s"),
    )
    table = report.tables[0]
    assert table.header == ("what", "tables", "rows", "read", "stored", "time", "set")
    assert table.rows == (
        ("db kohub", "2", "1,204", "5.0 MB", "1.0 MB", "3.0 s", "20260207T170000Z-abcd1234"),
        ("db desk", "2", "1,204", "5.0 MB", "1.0 MB", "3.0 s", "20260207T170000Z-abcd1234"),
        ("cluster", "-", "-", "-", "2.0 kB", "0.5 s", "20260207T170000Z-abcd1234"),
    )
    alone = backup_report(_result([_stored()]))
    assert alone.sentence == (
        "1 database with 1,204 rows stored in nightly (1.0 MB, 4.0 s), as one set each, without a cluster set."
    )


def test_a_backup_that_lost_a_database_says_so_first() -> None:
    result = _result([_stored(missing="kohub: invalid index public.i")], "kohub", "keycloak")
    result.failures.append((DatabaseFound(name="keycloak"), OperationFailed("It broke.")))
    text = backup_report(result).as_text()
    assert text.startswith(
        "Backup of platform\n1 database failed; 1 of 2 databases with 1,204 rows stored in nightly (1.0 MB, 4.0 s), "
        "and no cluster set was published.\n"
    )
    assert "db keycloak  It broke." in text
    assert "kohub: invalid index public.i" in text


def test_a_backup_whose_closing_set_failed_says_so_first() -> None:
    result = _result([_stored()])
    result.failures.append((CLOSING, OperationFailed("It broke.")))
    text = backup_report(result).as_text()
    assert text.startswith(
        "Backup of platform\nThe cluster set failed; 1 database with 1,204 rows stored in nightly (1.0 MB, 4.0 s).\n"
    )
    assert "cluster  It broke." in text


def test_a_backup_that_goes_on_says_how_far_it_is() -> None:
    report = backup_report(_result([_stored()], "desk", "hub"), RunState(going=True))
    assert report.sentence == "Going on: 1 of 2 databases with 1,204 rows stored in nightly (1.0 MB, 4.0 s)."
    [step] = report.next_steps
    assert "Where the run has ended and this still stands here, it was killed" in step


def test_a_backup_that_has_just_begun_says_how_much_there_is_to_do() -> None:
    report = backup_report(_result([], "desk", "hub"), RunState(going=True))
    assert report.sentence == "Going on: 0 of 2 databases stored in nightly (0 B, 4.0 s)."


def test_a_backup_that_failed_says_why_and_what_is_stored_all_the_same() -> None:
    report = backup_report(_result([_stored()], "desk", "hub"), RunState(problem="The disk is full."))
    assert report.sentence == (
        "Failed: The disk is full. What is stored all the same: 1 of 2 databases with 1,204 rows stored in nightly "
        "(1.0 MB, 4.0 s), no cluster set."
    )
    assert report.next_steps[:2] == (
        "Nothing was pruned: a backup that failed lets nothing go.",
        "Correct what failed and run the backup again; the sets that are listed here are whole.",
    )


def test_what_was_dropped_meanwhile_can_be_brought_back() -> None:
    result = _result([_stored(), _closed()])
    result.found = (DatabaseFound(name="leaving").as_gone(), CLOSING)
    report = backup_report(result)
    assert report.sentence.endswith(" Dropped while the backup ran, and in no set of it: 'leaving'.")
    assert "an earlier set brings it back (platformctl restore --database NAME)." in report.as_text()


def test_a_run_with_nothing_else_to_tell_says_how_it_stands() -> None:
    started = datetime(2026, 2, 7, 17, 0, tzinfo=UTC)
    assert plain_report("Drill", started, RunState(going=True)).sentence.startswith("Going on since 2026-02-0")
    assert plain_report("Drill", started, RunState(problem="It broke.")).sentence == "Failed: It broke."


def test_a_backup_says_what_is_wrong_with_the_configuration() -> None:
    done = replace(_result([_stored()]), encrypted=False)
    text = backup_report(done).as_text()
    assert "in 000-globals the roles' password verifiers; give [stores.nightly] recipients" in text
    assert "not encrypted" not in backup_report(replace(done, encrypted=True)).as_text()


def test_what_is_excluded_and_not_there_is_remarked() -> None:
    settings = ServerSettings(store="nightly", exclude=("kohbu", "kohub", "template0"))
    remarks = PostgresSource("platform", settings, HostSettings()).remarks((DatabaseFound(name="kohub"), CLOSING))
    result = replace(_result([_stored()]), remarks=remarks)
    [remark] = remarks
    assert remark == (
        "exclude names 'kohbu', which platform does not have: correct its table in the configuration, or what you mean to "
        "leave out is backed up under another name."
    )
    assert remark in backup_report(result).next_steps


def test_the_example_configuration_is_valid_and_shows_the_defaults() -> None:
    settings = load_settings(_EXAMPLE)
    assert (list(settings.sources), list(settings.stores)) == (["platform"], ["nightly", "offsite"])
    assert list(settings.hosts) == ["database-host"]
    for store in settings.stores.values():
        days = {kind: policy.days for kind, policy in store.retention.items()}
        assert days == {kind: policy.days for kind, policy in default_retention().items()}
        assert (days["cluster"], days["db"]) == (30, 7)


def _restored(name: str, previous: str | None, sample_percent: int = 100) -> RestoredDatabase:
    return RestoredDatabase(
        database="hub",
        set_key="platform/db/hub/20260207T170000Z-3f9a1c",
        name=name,
        previous=previous,
        tables=2,
        rows=1204,
        seconds=3.0,
        compare_seconds=1.0,
        sample_percent=sample_percent,
        roles_created=(),
        missing=(),
    )


def test_a_plan_says_what_steps_aside() -> None:
    choices = [RestoreChoice(name, a_key("2026-02-07", name), "proven") for name in ("desk", "hub")]
    beside = plan_report("platform", choices, in_place=False)
    assert beside.sentence.startswith("2 databases beside the live ones, under new names; ")
    assert beside.next_steps == ("Nothing that is live is touched.",)
    empty = plan_report("platform", choices, in_place=True)
    assert empty.sentence.startswith("2 databases under their own names, which no live database has; ")
    assert empty.next_steps == beside.next_steps
    one = plan_report("platform", choices, in_place=True, live=["hub"])
    assert one.sentence.startswith("2 databases under their own names, in place of 1 live one; ")
    assert one.next_steps[0].startswith("Renamed and kept: hub. ")
    older = replace(choices[0], failed=a_key("2026-02-08", "desk"))
    assert plan_report("platform", [older], in_place=False).next_steps[0] == (
        f"Passed over, because it failed: {older.failed}; `show` says why."
    )


def test_a_restore_that_did_not_end_well_says_how_far_it_came() -> None:
    one = [_restored("hub_restored_1", None)]
    going = restore_report("platform", one, 3.0, wanted=2, state=RunState(going=True))
    assert going.sentence == ("Going on: 1 of 2 databases with 1,204 rows restored in 3.0 s, each equal to its proof.")
    failed = restore_report("platform", one, 3.0, wanted=2, state=RunState(problem="It was cancelled."))
    assert failed.sentence.startswith("Failed: It was cancelled. What was restored all the same: 1 of 2 databases")


def test_a_restore_of_which_nothing_came_back_claims_nothing() -> None:
    nothing = restore_report("platform", [], 0.9, [("kohub", OperationFailed("It broke."))], 1)
    assert nothing.sentence == "No database was restored; 1 failed."
    assert nothing.tables[0].rows == (("kohub", "It broke."),)


def test_a_restore_says_how_to_be_rid_of_what_nobody_needs() -> None:
    beside = restore_report("platform", [_restored('hub "2" _restored_', None)], 3.0)
    assert beside.sentence == "1 database with 1,204 rows restored in 3.0 s, each equal to its proof."
    assert beside.next_steps == (
        "A dump carries no planner statistics: run ANALYZE in each, or give autovacuum some minutes.",
        "The live ones are as they were. What was restored beside them takes its space, and each backup run takes it too, "
        'until it is renamed or dropped: DROP DATABASE "hub ""2"" _restored_";',
    )
    replaced = restore_report("platform", [_restored("hub", "hub_before_20260207", 10)], 3.0)
    assert "equal to its proof (only a sample of the rows was compared)." in replaced.sentence
    assert replaced.next_steps[-1] == (
        "Check the applications, then drop the old ones: they take their space, and each backup run takes them too, "
        'until then: DROP DATABASE "hub_before_20260207";'
    )
    assert restore_report("platform", [], 0.1, [("hub", OperationFailed("It failed."))]).next_steps == ()
