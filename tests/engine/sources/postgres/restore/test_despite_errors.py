"""A source that holds what no restore takes: who is blamed, what comes back all the same, and what every server has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, CouldNotVerify, DamagedSet, OperationFailed, PartialSuccess
from engine.progress import silent
from engine.repository.findings import DrillResult
from engine.sources.postgres.restore.choice import RestoreChoice
from engine.sources.postgres.restore.operation import RestoreRun
from engine.sources.postgres.restore.report import plan_report, restore_report
from engine.sources.postgres.restore.restore import restore_databases
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.steps import InShell
from tests.conftest import LIVE, MAJOR
from tests.engine.repository.made import judge
from tests.engine.sources.postgres.backups import (
    Backup,
    back_up,
    copied,
    drill,
    execute,
    run_script,
    server_of,
    store_in,
)
from tests.engine.sources.postgres.restore.test_stock_restore import by_hand, typed

GOOD = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000);"
BAD = """
CREATE TABLE sale (id int PRIMARY KEY); INSERT INTO sale SELECT generate_series(1, 1000);
CREATE ROLE case_report; GRANT SELECT ON sale TO case_report;
CREATE MATERIALIZED VIEW n AS SELECT count(*) FROM sale; ALTER MATERIALIZED VIEW n OWNER TO case_report;
REVOKE SELECT ON sale FROM case_report;
CREATE DOMAIN soon AS timestamptz CONSTRAINT is_soon CHECK (VALUE > now());
CREATE TABLE offer (id int PRIMARY KEY, ends_at timestamptz CONSTRAINT not_over CHECK (ends_at > now()), at soon);
INSERT INTO offer VALUES (1, now() + interval '3 seconds', now() + interval '3 seconds');
CREATE TABLE parted (id int, ends_at timestamptz, CONSTRAINT whole CHECK (ends_at > now())) PARTITION BY LIST (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
INSERT INTO parted VALUES (1, now() + interval '3 seconds');
CREATE MATERIALIZED VIEW offers AS SELECT count(*) AS n FROM offer;
CREATE TABLE place (address text PRIMARY KEY); CREATE TABLE visit (address text REFERENCES place);
ALTER TABLE visit DISABLE TRIGGER ALL; INSERT INTO visit VALUES ('CANARY-79'); ALTER TABLE visit ENABLE TRIGGER ALL;
CREATE TABLE bid (offer int REFERENCES offer DEFERRABLE); INSERT INTO bid VALUES (1);
"""
OTHER_WORDS = """
CREATE TYPE mark AS (v text);
CREATE FUNCTION same(mark, mark) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT lower(($1).v) OPERATOR(pg_catalog.=) lower(($2).v)';
CREATE OPERATOR = (LEFTARG = mark, RIGHTARG = mark, FUNCTION = same);
CREATE TABLE odd (id int, m mark, CONSTRAINT differs CHECK (m IS DISTINCT FROM ROW('x')::mark));
INSERT INTO odd VALUES (1, ROW('a'));
"""


@pytest.fixture(scope="module")
def source() -> Iterator[Instance]:
    with scratch_server(MAJOR, settings=LIVE) as server:
        for name, script in (("case_good", GOOD), ("case_bad", BAD), ("case_words", OTHER_WORDS)):
            execute(server, "postgres", f"CREATE DATABASE {name} TEMPLATE template0")
            run_script(server, name, script)
        run_script(
            server,
            "postgres",
            "CREATE TABLE application AS SELECT 1 AS one; ALTER DATABASE postgres SET work_mem = '5MB'",
        )
        yield server


@pytest.fixture(scope="module")
def made(source: Instance, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    made = back_up(server_of(source), store_in(tmp_path_factory.mktemp("despite")))
    time.sleep(3)  # now the checks are not true any more
    return made


@pytest.fixture(scope="module")
def drilled(made: Backup) -> dict[str, DrillResult]:
    keys = {"all": made.cluster_key, **{name: made.key(name) for name in ("case_good", "case_bad", "case_words")}}
    return {name: drill(made.repository, key) for name, key in keys.items()}


def run_of(made: Backup, goal: Instance, *databases: str, despite_errors: bool = False) -> RestoreRun:
    run = RestoreRun(made.repository, "platform", server_of(goal), databases, "newest", in_place=True)
    run.despite_errors = despite_errors
    run.plan(InShell(silent))
    return run


def carried_out(run: RestoreRun, *confirmed: str) -> RestoreRun:
    run.require_confirmed(confirmed, "--confirm")
    run.carry_out(InShell(silent))
    return run


def test_the_source_is_blamed_with_the_object(drilled: dict[str, DrillResult]) -> None:
    assert {name: one.result for name, one in drilled.items()} == {
        "all": "failed", "case_good": "passed", "case_bad": "failed", "case_words": "failed"
    }  # fmt: skip
    for one, named in (("case_bad", 'COPY failed for table "offer"'), ("all", "TABLE DATA public.offer")):
        sentence = drilled[one].sentence
        assert named in sentence
        assert "the source itself holds what no restore takes: the next backup will be the same" in sentence
        assert "--despite-errors" in sentence
        assert "CANARY" not in sentence


def test_one_bad_database_stops_no_other_and_what_every_server_has_comes_along(
    made: Backup, drilled: dict[str, DrillResult], empty_server: Instance
) -> None:
    """Into an empty server: no confirmation is asked for what its own databases do not hold."""
    run = run_of(made, empty_server)
    assert (run.live, run.spare) == ((), ("template1",))
    plan = plan_report("empty", run.choices, True, run.live, run.failures, run.spare).as_text()
    assert "Left out, since they hold nothing but what every server has: template1." in plan
    assert "There is no usable set of db 'case_bad' of platform" in plan
    carried_out(run)
    assert sorted(one.name for one in run.restored) == ["case_good", "postgres"]
    assert sorted(name for name, _ in run.failures) == ["case_bad", "case_words"]
    assert "--despite-errors takes what comes back of the newest one" in str(dict(run.failures)["case_bad"])
    assert execute(empty_server, "postgres", "SELECT one FROM application") == [(1,)]
    assert execute(empty_server, "postgres", "SHOW work_mem") == [("5MB",)]
    there = "SELECT datname FROM pg_database ORDER BY 1"
    assert execute(empty_server, "postgres", there) == [("case_good",), ("postgres",), ("template0",), ("template1",)]


def test_all_that_comes_back_is_taken_and_all_else_is_named(
    made: Backup, drilled: dict[str, DrillResult], empty_server: Instance
) -> None:
    run = carried_out(run_of(made, empty_server, "case_good", "case_bad", "case_words", despite_errors=True))
    assert run.failures == []
    problem = run.problem()
    assert isinstance(problem, PartialSuccess)
    assert problem.exit_code == 5
    assert "Database 'case_bad' came back as 'case_bad', and is not what was backed up" in str(problem)
    good, bad, words = run.restored
    assert (good.is_equal, bad.is_equal, words.is_equal) == (True, False, False)
    for table, count in (("sale", 1000), ("offer", 1), ("parted", 1), ("visit", 1), ("offers", 1)):
        assert execute(empty_server, "case_bad", f"SELECT count(*) FROM {table}") == [(count,)]
    assert execute(empty_server, "case_bad", "SELECT n FROM offers") == [(1,)]
    checks = (
        "SELECT conname FROM pg_constraint WHERE convalidated = {} AND conislocal AND contype IN ('c', 'f') ORDER BY 1"
    )
    not_valid = [("is_soon",), ("not_over",), ("visit_address_fkey",), ("whole",)]
    assert execute(empty_server, "case_bad", checks.format("false")) == not_valid
    # its rows came in the second pass
    assert ("bid_offer_fkey",) in execute(empty_server, "case_bad", checks.format("true"))
    reported = "\n".join(bad.refused)
    for named in (
        "MATERIALIZED VIEW DATA n",
        "FK CONSTRAINT public visit visit_address_fkey: it is there",
        "not_over",
        "whole",
        "is_soon",
    ):
        assert named in reported
    assert (len(bad.refused), "CANARY" in reported) == (5, False)
    assert words.refused == ()
    assert [one for one in words.differences if one.startswith("dependencies ")] == list(words.differences)
    text = restore_report("empty", run.restored, 1.0).as_text()
    assert "not what was backed up: case_bad, case_words (see what did not come back); each other one is equal" in text


def test_of_a_cluster_set_the_database_s_own_of_that_backup_run_is_taken(
    made: Backup, drilled: dict[str, DrillResult], empty_server: Instance
) -> None:
    run = RestoreRun(made.repository, "platform", server_of(empty_server), ["case_bad"], str(made.cluster_key), True)
    run.despite_errors = True
    run.plan(InShell(silent))
    assert [one.key for one in run.choices] == [made.key("case_bad")]


def test_without_asking_for_it_nothing_is_taken(
    made: Backup, drilled: dict[str, DrillResult], empty_server: Instance
) -> None:
    run = RestoreRun(
        made.repository, "platform", server_of(empty_server), ["case_bad"], str(made.key("case_bad")), True
    )
    run.plan(InShell(silent))
    run.carry_out(InShell(silent))
    ((_, error),) = run.failures
    assert "the source itself holds what no restore takes" in str(error)
    with pytest.raises(DamagedSet, match=r"That is of TABLE DATA public\.offer\."):
        restore_databases(made.repository, server_of(empty_server), (RestoreChoice("case_bad", made.cluster_key),))
    assert execute(empty_server, "postgres", "SELECT count(*) FROM pg_database") == [(3,)]


def test_its_own_databases_are_replaced_only_when_they_hold_nothing(made: Backup, empty_server: Instance) -> None:
    execute(empty_server, "postgres", "CREATE TABLE precious AS SELECT 1 AS one")
    run = run_of(made, empty_server, "postgres")
    assert run.live == ("postgres",)
    with pytest.raises(ConfigurationError, match=r"To replace them all, add: --confirm postgres"):
        run.require_confirmed((), "--confirm")
    ((one),) = carried_out(run, "postgres").restored
    assert one.previous is not None
    assert execute(empty_server, one.previous, "SELECT one FROM precious") == [(1,)]
    assert execute(empty_server, "postgres", "SELECT one FROM application") == [(1,)]


def test_the_plan_says_when_it_mixes_backup_runs_and_prefers_what_is_proven(
    made: Backup, source: Instance, tmp_path_factory: pytest.TempPathFactory, empty_server: Instance
) -> None:
    repository = store_in(tmp_path_factory.mktemp("runs"))
    for key in (made.cluster_key, *(made.key(name) for name in ("case_good", "case_words", "case_bad"))):
        copied(made.repository, key, repository)
    later = back_up(server_of(source), repository, ["postgres", "template1", "case_good", "case_words"])
    judge(repository.store, later.key("case_words"), "verify", "failed", "2026-02-09")
    judge(repository.store, later.cluster_key, "drill", "failed", "2026-02-09")
    judge(repository.store, made.cluster_key, "drill", "passed", "2026-02-09")
    run = RestoreRun(repository, "platform", server_of(empty_server), ["case_good", "case_words"], "newest", True)
    run.plan(InShell(silent))
    # of the older backup run the proven cluster set, not its own of no proof
    assert [(one.database, one.key) for one in run.choices] == [
        ("case_good", later.key("case_good")), ("case_words", made.cluster_key)
    ]  # fmt: skip
    plan = plan_report("empty", run.choices, True).as_text()
    assert "The sets are of 2 different backups" in plan
    assert "Not proven by a drill: the sets of case_good. --set newest-proven" in plan


def test_a_plan_asks_the_server(made: Backup, empty_server: Instance) -> None:
    server = server_of(empty_server)
    gone = server_of(empty_server).settings.model_copy(update={"host": "/nowhere"})
    run = RestoreRun(made.repository, "platform", replace(server, settings=gone), ["case_good"], "newest", False)
    with pytest.raises(OperationFailed, match="/nowhere"):
        run.plan(InShell(silent))


def test_by_hand_a_bad_database_stops_no_other_and_the_last_line_says_so(made: Backup, empty_server: Instance) -> None:
    done = typed(by_hand(Path(made.repository.store.address) / str(made.cluster_key)), empty_server)
    assert (done.returncode, done.stdout) == (1, "5 of 6 files came back\n")
    assert "case_bad.sql.gz: FAILED" in done.stderr
    assert execute(empty_server, "case_good", "SELECT count(*) FROM t") == [(1000,)]
    assert execute(empty_server, "postgres", "SELECT one FROM application") == [(1,)]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("CREATE EXTENSION vector; UPDATE pg_extension SET extname = 'postgis' WHERE extname = 'vector'", "postgis"),
        (
            "ALTER DATABASE lacks SET TimeZone = 'UTC';"
            "UPDATE pg_db_role_setting SET setconfig = '{TimeZone=Mars/Base}' WHERE setconfig = '{TimeZone=UTC}'",
            "TimeZone",
        ),
    ],
)
def test_what_the_target_lacks_is_not_the_set_s_fault(
    empty_server: Instance, store_folder: Path, script: str, reason: str
) -> None:
    execute(empty_server, "postgres", "CREATE DATABASE lacks")
    run_script(empty_server, "lacks", script)
    made = back_up(server_of(empty_server), store_in(store_folder), ["lacks"], cluster=False)
    with pytest.raises(CouldNotVerify) as caught:
        restore_databases(made.repository, server_of(empty_server), (RestoreChoice("lacks", made.key("lacks")),))
    message = str(caught.value)
    assert "lacks what this set needs, and nothing is held against the set" in message
    assert reason in message
    assert execute(empty_server, "postgres", "SELECT count(*) FROM pg_database") == [(4,)]
