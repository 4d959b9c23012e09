"""Every run leaves one readable record, also one that fails."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import State, StateType
from prefect.states import Completed

from blocks import BackupStore
from engine.config.settings import FolderStore
from engine.errors import OperationFailed
from engine.operations import backup
from engine.repository.catalogue import catalogue
from engine.repository.repository import open_repository
from engine.sources.postgres.restore import operation
from engine.sources.postgres.server.lock import backup_lock
from engine.words.report import Report
from flows.nightly_backup import nightly_backup
from flows.prune_backups import prune_backups
from flows.restore_databases import restore_databases
from flows.restore_drill import restore_drill
from flows.verify_backups import verify_backups
from tasks.artifacts import Record
from tasks.opening import open_server
from tests.blocks.made import ServerBlock, database
from tests.engine.repository.made import a_key, store_set
from tests.flows.conftest import Platform

pytestmark = pytest.mark.xdist_group("flows")


def record(state: State[Any]) -> str:
    """The only artifact for people of the run that ended in this state."""
    run = state.state_details.flow_run_id
    assert run is not None
    chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]), key=ArtifactFilterKey(exists_=True))
    with get_client(sync_client=True) as client:
        [found] = client.read_artifacts(artifact_filter=chosen)
    return str(found.data)


def test_a_database_that_fails_does_not_stop_the_others(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(backup, "RETRIES", 0)
    usual = ServerBlock.named("platform").settings()
    # One at a time and the largest first: the others still wait when it fails.
    hasty = usual.model_copy(update={"lock_wait_seconds": 1, "jobs": 1, "copies": ("second",)})
    second = FolderStore(path=str(tmp_path / "second"))
    BackupStore.of(second).save("second", overwrite=True)
    old = store_set(platform.repository.store, a_key("2020-01-01", "gone"))
    ServerBlock.of(hasty).save("platform", overwrite=True)
    platform.sql("desk", "CREATE TABLE large AS SELECT i FROM generate_series(1, 100000) AS i")
    before = {one.key for one in catalogue(platform.repository, "platform").sets}
    try:
        with psycopg.connect(platform.instance.conninfo("desk")) as blocker:
            blocker.execute("LOCK TABLE note")
            state = nightly_backup("platform", return_state=True)
    finally:
        ServerBlock.of(usual).save("platform", overwrite=True)
        platform.sql("desk", "DROP TABLE large")
    assert state.type is StateType.FAILED
    assert "Database 'desk' was not backed up: " in (state.message or "")
    new = {one.key for one in catalogue(platform.repository, "platform").sets} - before
    assert {key.name for key in new} == {"hub", "postgres", "template1"}
    assert catalogue(platform.repository, "platform").incomplete == ()
    copied = {one.key for one in catalogue(open_repository("second", second), "platform").sets}
    assert new <= copied
    assert old in {one.key for one in catalogue(platform.repository, "platform").sets}
    output = record(state)
    assert output.startswith("**1 database failed; 3 of 4 databases with 500 rows stored in nightly")
    assert "## Failed" in output
    assert "a backup that failed lets nothing go" in output


def test_a_backup_run_fails_for_its_dump_and_not_for_cleaning_up(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(sentence: str) -> Callable[..., None]:
        def fail(*_: object) -> None:
            raise OperationFailed(sentence)

        return fail

    for work, sentence in (
        ("engine.sources.postgres.source.backup_database", "The dump fails."),
        ("engine.operations.backup.BackupRun.withdraw", "The store refuses."),
    ):
        monkeypatch.setattr(work, fails(sentence))
    monkeypatch.setattr(backup, "RETRIES", 0)
    state = nightly_backup("platform", return_state=True)
    with pytest.raises(OperationFailed, match=r"was not backed up: The dump fails\."):
        state.result()
    assert "The dump fails" in record(state)


def test_a_backup_that_may_not_begin(platform: Platform) -> None:
    with backup_lock(open_server("platform"), "a test"):
        state = nightly_backup("platform", return_state=True)
    assert "**Failed: " in record(state)
    assert "a test" in record(state)


def started_after(platform: Platform, seconds: float) -> None:
    time.sleep(seconds)
    platform.instance.start()


def test_a_server_that_restarts_when_a_run_begins_is_waited_for(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 02:00 it is away; the run's first step tries again, and where nothing comes the state says what it is."""
    monkeypatch.setattr(backup, "REACH_PAUSE_SECONDS", 1)
    monkeypatch.setattr(operation, "REACH_PAUSE_SECONDS", 1)
    restore = partial(restore_databases, databases=("hub",), dry_run=True)
    for begun in (nightly_backup, restore):  # a restore is asked for when a server restarts, too
        platform.instance.stop()
        with ThreadPoolExecutor(1) as pool:
            later = pool.submit(started_after, platform, 6)
            state = begun("platform", return_state=True)
            later.result()
        assert state.type is StateType.COMPLETED
    platform.instance.stop()
    monkeypatch.setattr(backup, "REACH_RETRIES", 1)
    try:
        state = nightly_backup("platform", return_state=True)
    finally:
        platform.instance.start()
    assert re.search(r"platform \(127\.0\.0\.1:\d+\) does not answer: .*[Cc]onnection refused", state.message or "")


def test_an_unknown_server(platform: Platform) -> None:
    output = record(nightly_backup("nowhere", return_state=True))
    assert "There is no source nowhere in Prefect" in output


def test_a_restore_of_which_one_fails(platform: Platform) -> None:
    nightly_backup("platform")
    newest = catalogue(platform.repository, "platform").newest(database("desk"))
    assert newest is not None
    [dump] = (platform.store / str(newest.key)).glob("*.dump.gz.age")
    dump.write_bytes(dump.read_bytes()[:-1])
    state = restore_databases("platform", databases=("desk", "hub"), return_state=True)
    assert state.type is StateType.FAILED
    output = record(state)
    assert "1 of 2 databases with 500 rows restored" in output
    assert "1 failed" in output
    assert "| desk |" in output
    assert "hub\\_restored\\_" in output


def test_a_restore_that_is_not_confirmed(platform: Platform) -> None:
    state = restore_databases("platform", databases=("desk",), in_place=True, return_state=True)
    output = record(state).replace("\\", "")
    assert "**Failed: In place takes the place of 'desk': repeat each name in `confirm`" in output
    assert "restored" not in output


@pytest.mark.parametrize("requested", [{}, {"databases": ("desk",), "everything": True}])
def test_a_restore_that_does_not_say_of_what(platform: Platform, requested: dict[str, Any]) -> None:
    """The form submitted as it came restores nothing, and reads nothing: there is no such store."""
    state = restore_databases("platform", "nowhere", **requested, return_state=True)
    assert state.type is StateType.FAILED
    assert "**Failed: Say what to restore: name it in" in record(state)


def test_a_password_that_is_typed_into_the_form_is_not_repeated(platform: Platform) -> None:
    given = ("desk=canary-of-the-desk",)
    output = record(restore_databases("platform", databases=("desk",), role_passwords=given, return_state=True))
    assert "`role_passwords` 1 is no ROLE=REFERENCE" in output.replace("\\", "")
    assert "canary" not in output


def test_others_that_fail(platform: Platform) -> None:
    for one in (restore_drill, prune_backups):
        assert "**Failed: " in record(one("nowhere", return_state=True))
    assert "**Failed: " in record(verify_backups("nowhere", return_state=True))


def test_a_record_that_somebody_deletes_is_written_anew(prefect_server: str) -> None:
    @flow(name="a-probe")
    def probe() -> State[None]:
        with Record("A probe") as begun, get_client(sync_client=True) as client:
            [made] = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["a-probe"])))
            client.delete_artifact(made.id)
            begun.report = Report("A probe", "All is well.")
        return Completed()

    assert "All is well." in record(probe(return_state=True))


def test_what_is_not_ours_is_not_quoted(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("the password is hunter2")

    monkeypatch.setattr("engine.sources.postgres.source.backup_database", broken)
    monkeypatch.setattr(backup, "RETRIES", 0)
    state = nightly_backup("platform", return_state=True)
    with pytest.raises(OperationFailed, match=r"An unexpected error \(ValueError\)"):
        state.result()
    assert "ValueError" in record(state)
    assert "hunter2" not in record(state)
