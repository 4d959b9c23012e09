"""The operations as real flow runs against a Prefect server and a PostgreSQL that asks for a password."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact, FlowRun, StateType

from engine.errors import ConfigurationError, LockedByAnother, OperationFailed
from engine.repository.catalogue import catalogue
from engine.repository.manifest import read_manifest
from engine.repository.stored import Catalogue
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.server.lock import backup_lock
from flows.check_backups import check_backups
from flows.nightly_backup import nightly_backup
from flows.prune_backups import prune_backups
from flows.restore_databases import restore_databases
from flows.restore_drill import restore_drill
from flows.verify_backups import verify_backups
from tasks.opening import open_server
from tests.blocks.made import WHOLE, ServerBlock, database
from tests.engine.repository.made import a_key, store_set
from tests.engine.sources.postgres.backups import server_of
from tests.flows.conftest import CANARY, Platform
from tests.flows.installation import wait_for
from tests.webhook import Webhook

pytestmark = pytest.mark.xdist_group("flows")


@pytest.fixture(scope="module")
def backup_run(platform: Platform) -> Catalogue:
    """The store after one backup run."""
    nightly_backup("platform")
    return stored(platform)


def stored(platform: Platform) -> Catalogue:
    return catalogue(platform.repository, "platform")


def artifacts(key: str) -> list[Artifact]:
    """The newest first."""
    requested = {"artifacts": {"key": {"any_": [key]}}, "sort": "UPDATED_DESC"}
    with get_client(sync_client=True) as client:
        found = client._client.post("/artifacts/filter", json=requested).json()
    return [Artifact.model_validate(each) for each in found]


def runs() -> list[FlowRun]:
    with get_client(sync_client=True) as client:
        return client.read_flow_runs()


def task_states() -> dict[str, str | None]:
    with get_client(sync_client=True) as client:
        return {run.name: run.state_name for run in client.read_task_runs(limit=200)}


def test_a_run_is_called_after_whom_it_is_about_and_says_what_it_did(platform: Platform, backup_run: Catalogue) -> None:
    [run, *_] = [  # other tests have backup runs of the same words
        one for one in runs() if ((one.state and one.state.message) or "").startswith("4 databases with 1,000 rows")
    ]
    assert run.expected_start_time is not None
    assert run.name == f"platform {run.expected_start_time.astimezone():%m-%d %H:%M}"


def test_an_error_of_ours_is_a_sentence_in_the_log_and_no_traceback(
    platform: Platform, backup_run: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError):
        restore_drill("platform", which="no-such-set")
    output = [line for line in caplog.records if line.name in ("prefect.flow_runs", "prefect.task_runs")]
    assert [line.exc_info for line in output if line.exc_info] == []
    assert "There is no set 'no-such-set' in " in caplog.text
    assert "Traceback" not in caplog.text


def test_a_backup_run_stores_the_cluster_and_each_database(backup_run: Catalogue) -> None:
    assert {one.key.name for one in backup_run.sets} == {"", "desk", "hub", "postgres", "template1"}
    assert {one.state for one in backup_run.sets} == {"recorded"}
    assert backup_run.incomplete == ()


def test_a_backup_run_leaves_a_record_that_names_each_database(backup_run: Catalogue) -> None:
    [record, *_] = artifacts("nightly-backup")
    text = str(record.data)
    assert "desk" in text
    assert "hub" in text
    assert record.description == "Backup of platform"


def test_a_drill_proves_the_newest_set(platform: Platform, backup_run: Catalogue) -> None:
    restore_drill("platform")
    assert stored(platform).newest(WHOLE, "newest-proven") is not None
    [record, *_] = artifacts("restore-drill")
    assert "passed" in str(record.data)


def test_a_check_is_red_until_the_server_is_verified_and_green_then(platform: Platform, backup_run: Catalogue) -> None:
    known = {record.id for record in artifacts("check-backups")}
    with pytest.raises(
        OperationFailed, match="Cluster of platform in nightly was never verified, where 26 h are allowed"
    ):
        check_backups("platform")
    verify_backups("nightly")
    check_backups("platform")
    output = [str(record.data) for record in artifacts("check-backups") if record.id not in known]
    assert sorted("OVERDUE" in text for text in output) == [False, True]


def test_a_drill_of_a_damaged_set_fails_with_its_evidence(platform: Platform, backup_run: Catalogue) -> None:
    victim = backup_run.newest(database("hub"))
    assert victim is not None
    [dump] = (platform.store / str(victim.key)).glob("*.dump.gz.age")
    dump.write_bytes(dump.read_bytes()[:-1] + b"?")
    known = {record.id for record in artifacts("restore-drill")}
    with pytest.raises(OperationFailed, match="hub"):
        restore_drill("platform", what="db/hub")
    [record] = [one for one in artifacts("restore-drill") if one.id not in known]
    assert dump.name in str(record.data)
    assert task_states()[f"drill {victim.key}"] == "Failed"  # a red bar in the timeline
    assert [one.state for one in stored(platform).sets if one.key == victim.key] == ["failed"]


def test_a_drill_of_a_sample_ends_as_sampled_and_tells_no_monitor(
    platform: Platform, backup_run: Catalogue, tmp_path: Path, monitor: Webhook
) -> None:
    (tmp_path / "monitor").write_text(f"{monitor.address}api/push/token")
    usual = ServerBlock.named("platform").settings()
    sampling = {"proof_sample_percent": 10, "monitors": {"restore-drill": f"file:{tmp_path / 'monitor'}"}}
    ServerBlock.of(usual.model_copy(update=sampling)).save("platform", overwrite=True)
    try:
        nightly_backup("platform")
        state = restore_drill("platform", what="db/hub", return_state=True)
        assert (state.type, state.name) == (StateType.COMPLETED, "Sampled")
        assert monitor.calls == []
        ServerBlock.of(usual.model_copy(update={"monitors": sampling["monitors"]})).save("platform", overwrite=True)
        nightly_backup("platform")
        assert restore_drill("platform", what="db/hub", return_state=True).name == "Completed"
        assert [call.path for call in monitor.calls] == ["/api/push/token"]
    finally:
        ServerBlock.of(usual).save("platform", overwrite=True)
    states = [one.state for one in stored(platform).assets[database("hub")]]
    assert states[:2] == ["proven", "recorded"]
    assert any("10 % were compared" in str(one.data) for one in artifacts("restore-drill"))


def test_verify_reads_every_set_and_says_which_is_damaged(platform: Platform, backup_run: Catalogue) -> None:
    victim = backup_run.newest(database("template1"))
    assert victim is not None
    [dump] = (platform.store / str(victim.key)).glob("*.dump.gz.age")
    dump.write_bytes(dump.read_bytes() + b"!")
    with pytest.raises(OperationFailed, match="template1"):
        verify_backups("nightly")
    states = {str(one.key): one.state for one in stored(platform).sets}
    assert states[str(victim.key)] == "failed"
    assert {state for key, state in states.items() if "/postgres/" in key} == {"verified"}


def test_restore_brings_a_database_back_beside_the_live_one(platform: Platform, backup_run: Catalogue) -> None:
    restore_databases("platform", databases=("desk",))
    with psycopg.connect(platform.instance.conninfo()) as connection:
        names = [row[0] for row in connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^desk'")]
    [restored] = [name for name in names if name.startswith("desk_restored_")]
    with psycopg.connect(platform.instance.conninfo(restored)) as connection:
        assert connection.execute("SELECT count(*), max(body) FROM note").fetchone() == (500, "note 99")


@pytest.mark.parametrize(("databases", "confirm"), [(("desk",), ()), (("desk", "hub"), ("desk",)), ((), ("desk",))])
def test_in_place_needs_the_name_twice(
    platform: Platform, databases: tuple[str, ...], confirm: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError, match="confirm"):
        restore_databases("platform", databases=databases, everything=not databases, in_place=True, confirm=confirm)


def test_everything_is_what_the_newest_cluster_set_has(platform: Platform, backup_run: Catalogue) -> None:
    nightly_backup("platform")
    dropped = store_set(platform.repository.store, a_key("2020-01-01", "dropped"))
    try:
        restore_databases("platform", everything=True)
    finally:
        platform.repository.store.delete(list(platform.repository.store.keys(dropped.prefix)))
    [record, *_] = artifacts("restore-databases")
    text = str(record.data).replace("\\", "")
    assert "| desk | desk_restored_" in text
    assert "| hub | hub_restored_" in text
    assert "| dropped |" not in text


def test_the_worst_day_of_an_empty_server_is_done_from_the_form(
    platform: Platform, empty_server: Instance, tmp_path: Path
) -> None:
    """Everything, in place, to the new server: planned first, then done, and nothing had to be confirmed."""
    nightly_backup("platform")
    goal = server_of(empty_server).settings
    ServerBlock.of(goal.model_copy(update={"store": "nightly"})).save("empty", overwrite=True)

    def restored(dry_run: bool) -> tuple[str, dict[str, str]]:
        known = {record.id for record in artifacts("restore-databases")}
        given = (f"desk=file:{tmp_path}/password",)
        requested = {"to": "empty", "everything": True, "in_place": True, "role_passwords": given, "dry_run": dry_run}
        assert restore_databases("platform", **requested, return_state=True).type is StateType.COMPLETED
        [record] = [one for one in artifacts("restore-databases") if one.id not in known]
        owners = "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE NOT datistemplate"
        with psycopg.connect(empty_server.conninfo()) as connection:
            return str(record.data).replace("\\", ""), dict(connection.execute(owners).fetchall())

    (tmp_path / "password").write_text("of the desk", encoding="utf8")
    plan, there = restored(dry_run=True)
    assert list(there) == ["postgres"]
    assert "| desk |" in plan
    assert "confirm" not in plan
    report, there = restored(dry_run=False)
    assert there.items() >= {"desk": "desk", "hub": "postgres"}.items()
    assert "| desk | desk |" in report
    with psycopg.connect(empty_server.conninfo()) as connection:
        verifier = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'desk'").fetchone()
        assert str(verifier).startswith("('SCRAM-SHA-256$")
    for name in ("desk", "hub"):
        with psycopg.connect(empty_server.conninfo(name)) as connection:
            assert connection.execute("SELECT count(*), max(body) FROM note").fetchone() == (500, "note 99")


def test_prune_shows_and_deletes_nothing_unless_told(platform: Platform, backup_run: Catalogue) -> None:
    old = [store_set(platform.repository.store, a_key(f"2020-01-0{day}", "desk")) for day in (6, 7, 8)]
    before = {one.key for one in stored(platform).sets}
    prune_backups("platform", allow_clock_jump=True)
    assert {one.key for one in stored(platform).sets} == before
    [record, *_] = artifacts("prune-backups")
    assert "Nothing was deleted yet" in str(record.data) and old[0].set_id in str(record.data)
    prune_backups("platform", delete=True, allow_clock_jump=True)
    gone = before - {one.key for one in stored(platform).sets}
    assert old[0] in gone and gone <= set(old)  # of two some stay where nothing else is kept


def test_a_second_backup_of_the_same_server_ends_at_once(platform: Platform, backup_run: Catalogue) -> None:
    before = stored(platform).sets
    with backup_lock(open_server("platform"), "a test"), pytest.raises(LockedByAnother, match="a test"):
        nightly_backup("platform")
    assert stored(platform).sets == before


def test_a_database_that_is_dropped_meanwhile_is_left_out_and_told(platform: Platform, backup_run: Catalogue) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    platform.sql("postgres", "CREATE DATABASE leaving TEMPLATE template0")
    known = {record.id for record in artifacts("nightly-backup")}

    def drop(*blockers: psycopg.Connection[tuple[object, ...]]) -> None:
        with psycopg.connect(platform.instance.conninfo(), autocommit=True) as admin:
            wait_for(lambda: admin.execute(waiting).fetchone() == (2,))  # both places of the queue are taken
            admin.execute("DROP DATABASE leaving")
        for blocker in blockers:
            blocker.rollback()

    with (
        psycopg.connect(platform.instance.conninfo("desk")) as desk,
        psycopg.connect(platform.instance.conninfo("hub")) as hub,
        ThreadPoolExecutor(1) as pool,
    ):
        for blocker in (desk, hub):
            blocker.execute("LOCK TABLE note")
        dropping = pool.submit(drop, desk, hub)
        state = nightly_backup("platform", return_state=True)
        dropping.result()
    assert state.type is StateType.COMPLETED
    newest = stored(platform).newest(WHOLE)
    assert newest is not None
    assert (
        "database leaving: it was dropped while the backup ran"
        in read_manifest(platform.repository, newest.key).missing
    )
    [record] = [one for one in artifacts("nightly-backup") if one.id not in known]
    assert "Dropped while the backup ran, and in no set of it: 'leaving'." in str(record.data)
    with get_client(sync_client=True) as client:
        names = {run.name: run.state_name for run in client.read_task_runs(limit=200)}
    assert (names["back up db leaving"], names["back up db hub"]) == ("Dropped", "Completed")


def test_an_unknown_server_is_one_clear_sentence(prefect_server: str) -> None:
    with pytest.raises(ConfigurationError, match="There is no source nowhere in Prefect"):
        nightly_backup("nowhere")


def test_the_password_is_in_no_artifact_parameter_or_file(platform: Platform, backup_run: Catalogue) -> None:
    shown = json.dumps([run.model_dump(mode="json") for run in runs()])
    shown += json.dumps([str(one.data) for key in ("nightly-backup", "restore-drill") for one in artifacts(key)])
    assert "nightly" in shown
    assert CANARY not in shown
    assert not [path for path in files(platform.store) if CANARY.encode() in path.read_bytes()]


def test_everything_stored_is_private(platform: Platform, backup_run: Catalogue) -> None:
    modes: dict[str, Any] = {str(path): oct(path.stat().st_mode & 0o777) for path in files(platform.store)}
    assert set(modes.values()) == {"0o600"}


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
