"""How results look: aligned text, markdown that shows hostile names as they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.config.file import load
from engine.errors import OperationFailed
from engine.postgres.backup import DatabaseBackup
from engine.postgres.compare import Difference
from engine.postgres.course import DatabaseRow, DrillReport
from engine.postgres.restore import RestoreChoice, RestoredDatabase
from engine.postgres.survey import DatabaseFound
from engine.progress import counted
from engine.reports.backup import BackupOutcome, backup_report
from engine.reports.drill import drill_report, past_drills
from engine.reports.report import Report, Table
from engine.reports.restore import plan_report, restore_report
from engine.reports.standing import Standing, plain_report
from engine.reports.wording import escaped, one_line, readable_time, width
from engine.sets.target import Target
from engine.sets.verdicts import record_verdict
from tests.engine.sets.made import MemoryStore, a_key, a_verdict

_EXAMPLE = Path(__file__).parents[3] / "docs" / "platform-ops.example.toml"


def test_text_is_aligned_also_with_wide_letters() -> None:
    table = Table("Sizes", ("name", "rows"), (("운영 노트", "5"), ("a", "1,204")), right=("rows",))
    report = Report("Title", "It went well.", (("took", "2.0 s"),), (table,), ("Rest.",))
    assert report.as_text() == (
        "Title\nIt went well.\n\ntook  2.0 s\n\n"
        "Sizes\n  name        rows\n  운영 노트      5\n  a          1,204\n\n- Rest.\n"
    )


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


def _drill(**changed: object) -> DrillReport:
    row = DatabaseRow(
        database="a | b",
        tables=2,
        rows=1204,
        sequences=1,
        large_objects=0,
        differences=0,
        restore_seconds=1.0,
        compare_seconds=0.5,
    )
    values = {
        "set_key": "platform/db/a%20%7C%20b/20260207T170000Z-abcd1234",
        "result": "passed",
        "sentence": "1 databases, 2 tables and 1204 rows came back equal",
        "started": datetime(2026, 2, 7, 18, 0, tzinfo=UTC),
        "seconds": 6.0,
        "rto_seconds": 4.5,
        "rpo_seconds": 3600.0,
        "stored_bytes": 2_500_000,
        "server_version": "16.4",
        "databases": (row,),
        "roles": 3,
        "differences": (),
        "missing": (),
    }
    return DrillReport.model_validate({**values, **changed})


def test_past_drills_are_the_newest_of_the_same_scope() -> None:
    """Of the cluster, not of a database of it; neither verifications, nor what cannot be read."""
    store = MemoryStore()
    cluster, database = a_key("2026-02-01"), a_key("2026-02-01 01:00", "app")
    for day in range(1, 15):
        for key, hour in ((cluster, 4), (database, 5)):
            verdict = a_verdict(key, f"2026-02-{day:02} {hour:02}:00", "drill", "passed")
            record_verdict(store, verdict, {"set_key": str(key), "rto_seconds": float(day)})
    record_verdict(store, a_verdict(cluster, "2026-02-20", "verify", "passed"), {"set_key": str(cluster)})
    damaged = record_verdict(store, a_verdict(cluster, "2026-02-19", "drill", "passed"), {})
    store.objects[str(damaged)] = b"{"
    other = a_key("2026-02-01", server="other")
    record_verdict(store, a_verdict(other, "2026-02-20", "drill", "passed"), {"set_key": str(other)})
    target = Target(store)
    found = past_drills(target, target.catalogue().verdicts, "platform", str(a_key("2026-02-28")))
    assert [one["rto_seconds"] for one in found] == [float(day) for day in range(14, 4, -1)]
    assert {one["set_key"] for one in found} == {str(cluster)}


def test_a_drill_s_report_has_verdict_rto_rpo_and_trend() -> None:
    past = {
        "result": "incomplete",
        "started": "2026-02-06T18:00:00Z",
        "rto_seconds": 9.0,
        "databases": [{"rows": 7}],
    }
    markdown = drill_report(_drill(), (past, {"started": "nonsense", "databases": "x"})).as_markdown()
    assert "| a \\| b | equal | 2 | 1,204 | 1 | 0 | 1.0 s | 0.5 s |" in markdown
    assert "| RTO (from nothing to the last database restored) | 4.5 s |" in markdown
    assert "| RPO (age of the set: what would be lost today) | 1 h 00 min |" in markdown
    assert " | passed (incomplete) | 9.0 s | - | 7 |" in markdown


def test_a_failed_drill_shows_its_evidence() -> None:
    difference = Difference(
        database="kohub", kind="table", name="public.orders", expected="5 rows", found="4 rows"
    )
    text = drill_report(_drill(result="failed", differences=(difference,), sentence="It differs.")).as_text()
    assert text.startswith(
        "Restore drill of platform/db/a%20%7C%20b/20260207T170000Z-abcd1234: FAILED\nIt differs.\n"
    )
    assert "kohub     table  public.orders  5 rows     4 rows" in text
    assert "Do not rely on this set." in text


def test_of_a_thousand_drilled_databases_the_telling_ones_are_shown() -> None:
    row = _drill().databases[0]
    rows = [
        row.model_copy(
            update={"database": f"app{number}", "rows": number, "restore_seconds": 1000.0 - number}
        )
        for number in range(1000)
    ]
    rows[500] = rows[500].model_copy(update={"differences": 1})
    markdown = drill_report(_drill(databases=tuple(rows), result="failed")).as_markdown()
    assert markdown.count("| app") == 33 + 33 + 1
    assert "| app0 | equal |" in markdown
    assert "| app999 | equal |" in markdown
    assert "| app500 | 1 difference |" in markdown
    assert "and 933 more databases; those that differ most, took longest or are largest are shown" in markdown
    assert len(markdown) < 10_000


def test_of_a_thousand_stored_databases_the_slowest_and_the_largest_are_shown() -> None:
    stored = [
        _stored(database=f"app{number}", seconds=float(number), dump_bytes=1000 - number)
        for number in range(1000)
    ]
    outcome = BackupOutcome("platform", "nightly", True, stored, None, (), 4.0)
    text = backup_report(outcome).as_text()
    assert sum(line.startswith("  app") for line in text.splitlines()) == 100
    assert "\n  app0 " in text
    assert "\n  app49 " in text
    assert "\n  app50 " not in text
    assert "\n  app950 " in text
    assert "  and 900 more databases; those that took longest and the largest are shown\n" in text
    few = backup_report(replace(outcome, databases=stored[:100])).as_text()
    assert sum(line.startswith("  app") for line in few.splitlines()) == 100
    assert "more databases" not in few


def _stored(**changed: object) -> DatabaseBackup:
    values = {
        "database": "kohub",
        "set_key": "platform/db/kohub/20260207T170000Z-abcd1234",
        "set_bytes": 1_000_000,
        "cluster_files": (),
        "dump_bytes": 5_000_000,
        "tables": 2,
        "rows": 1204,
        "large_objects": 0,
        "started": datetime(2026, 2, 7, 17, 0, tzinfo=UTC),
        "seconds": 3.0,
        "snapshot_seconds": 2.5,
        "extensions": {},
        "collations": {},
        "missing": (),
    }
    return DatabaseBackup.model_validate({**values, **changed})


def test_a_backup_that_lost_a_database_says_so_first() -> None:
    stored = _stored(missing=("kohub: invalid index public.i",))
    outcome = BackupOutcome(
        "platform", "nightly", True, [stored], None, (), 4.0, [("keycloak", OperationFailed("It broke."))]
    )
    text = backup_report(outcome).as_text()
    assert text.startswith(
        "Backup of platform\n1 database failed; 1 database with 1,204 rows stored in nightly (1.0 MB, 4.0 s), "
        "and no cluster set was published.\n"
    )
    assert "keycloak  It broke." in text
    assert "kohub: invalid index public.i" in text


def test_a_backup_that_goes_on_says_how_far_it_is() -> None:
    found = tuple(DatabaseFound(name, 1000) for name in ("desk", "hub"))
    outcome = BackupOutcome("platform", "nightly", True, [_stored()], None, found, 4.0)
    report = backup_report(outcome, Standing(going=True))
    assert report.sentence == "Going on: 1 of 2 databases with 1,204 rows stored in nightly (1.0 MB, 4.0 s)."
    [step] = report.next_steps
    assert "Where the run has ended and this still stands here, it was killed" in step


def test_a_backup_that_failed_says_why_and_what_is_stored_all_the_same() -> None:
    found = tuple(DatabaseFound(name, 1000) for name in ("desk", "hub"))
    outcome = BackupOutcome("platform", "nightly", True, [_stored()], None, found, 4.0)
    report = backup_report(outcome, Standing(problem="The disk is full."))
    assert report.sentence == (
        "Failed: The disk is full. What is stored all the same: 1 of 2 databases with 1,204 rows stored in nightly "
        "(1.0 MB, 4.0 s), no cluster set."
    )
    assert report.next_steps[:2] == (
        "Nothing was pruned: a backup that failed lets nothing go.",
        "Correct what failed and run the backup again; the sets that are listed here are whole.",
    )


def test_a_run_with_nothing_else_to_tell_says_how_it_stands() -> None:
    started = datetime(2026, 2, 7, 17, 0, tzinfo=UTC)
    assert plain_report("Drill", started, Standing(going=True)).sentence.startswith(
        "Going on since 2026-02-0"
    )
    assert plain_report("Drill", started, Standing(problem="It broke.")).sentence == "Failed: It broke."


def test_a_backup_says_what_is_wrong_with_the_configuration() -> None:
    stored = DatabaseBackup.model_validate(
        {
            **dict.fromkeys(("set_bytes", "dump_bytes", "tables", "rows", "large_objects", "seconds"), 1),
            **{
                "database": "kohub",
                "set_key": "k",
                "cluster_files": (),
                "missing": (),
                "snapshot_seconds": 1,
            },
            **{"started": datetime(2026, 2, 7, tzinfo=UTC), "extensions": {}, "collations": {}},
        }
    )
    done = BackupOutcome("platform", "nightly", False, [stored], None, (), 4.0, unknown=("kohbu",))
    text = backup_report(done).as_text()
    assert "exclude names 'kohbu', which platform does not have: correct [servers.platform]" in text
    assert "in 000-globals the roles' password verifiers; give [stores.nightly] recipients" in text
    sealed = backup_report(replace(done, encrypted=True, unknown=())).as_text()
    assert "exclude" not in sealed
    assert "not encrypted" not in sealed


def test_the_example_configuration_is_valid_and_shows_the_defaults() -> None:
    settings = load(_EXAMPLE)
    assert (list(settings.servers), list(settings.stores)) == (["platform"], ["nightly", "offsite"])
    kept = settings.stores["nightly"].retention
    assert (kept.cluster.days, kept.database.days) == (30, 7)


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
    going = restore_report("platform", one, 3.0, wanted=2, standing=Standing(going=True))
    assert going.sentence == (
        "Going on: 1 of 2 databases with 1,204 rows restored in 3.0 s, each equal to its proof."
    )
    failed = restore_report("platform", one, 3.0, wanted=2, standing=Standing(problem="It was cancelled."))
    assert failed.sentence.startswith(
        "Failed: It was cancelled. What was restored all the same: 1 of 2 databases"
    )


def test_a_restore_says_how_to_be_rid_of_what_nobody_needs() -> None:
    beside = restore_report("platform", [_restored('hub "2" _restored_', None)], 3.0)
    assert beside.sentence == "1 database with 1,204 rows restored in 3.0 s, each equal to its proof."
    assert beside.next_steps == (
        "A dump carries no planner statistics: run ANALYZE in each, or give autovacuum some minutes.",
        "The live ones are as they were. What was restored beside them takes its space, and each night backs it up too, "
        'until it is renamed or dropped: DROP DATABASE "hub ""2"" _restored_";',
    )
    replaced = restore_report("platform", [_restored("hub", "hub_before_20260207", 10)], 3.0)
    assert "equal to its proof (only a sample of the rows was compared)." in replaced.sentence
    assert replaced.next_steps[-1] == (
        "Check the applications, then drop the old ones: they take their space, and each night backs them up too, "
        'until then: DROP DATABASE "hub_before_20260207";'
    )
    assert restore_report("platform", [], 0.1, [("hub", OperationFailed("It failed."))]).next_steps == ()
