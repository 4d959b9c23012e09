"""kill -9 of flow runs that real workers execute, at the worst moments; then the next run."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelling

from engine.hosts.processes import ProcessIdentity
from engine.repository.keys import SetKey, new_set_id
from engine.stores.folder import FolderStore
from tests.blocks.made import WHOLE, database
from tests.engine.repository.made import store_set
from tests.flows.installation import WELL_BEGUN, wait_for
from tests.flows.scene import Scene

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("scene")]


@pytest.fixture(scope="module", autouse=True)
def workers(scene: Scene) -> Iterator[None]:
    with scene.workers("backup", "restore"):
        yield


def kill(scene: Scene, run: UUID, program: ProcessIdentity) -> None:
    """kill -9 of the run's own process while `program`, which it started, is in the middle of its work."""
    program.send(signal.SIGSTOP)
    scene.installation.process(run).send(signal.SIGKILL)
    program.send(signal.SIGCONT)


def crashed(scene: Scene, run: UUID) -> str:
    """The message of the crashed run's state."""
    state = scene.installation.ended(run).state
    assert state is not None
    assert state.type is StateType.CRASHED
    return state.message or ""


def nothing_is_left(scene: Scene, run: UUID) -> None:
    """No process, session, scratch server, spool or part file of the run."""
    wait_for(lambda: not scene.installation.left(run), 20)
    assert [path.name for path in scene.temporary.iterdir() if path.name.startswith("platform-ops-")] == []
    assert list((scene.folder / "nightly").rglob(".part-*")) == []
    assert (
        scene.sql(
            "postgres",
            "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'platform-ops%'",
        )
        == []
    )


def test_killed_while_dumping(scene: Scene) -> None:
    before = {one.key for one in scene.stored("nightly", "platform").sets}
    run = scene.installation.run("nightly-backup", source="platform")
    kill(scene, run, scene.installation.child(run, "pg_dump", wrote=WELL_BEGUN))
    assert "SIGKILL" in crashed(scene, run)
    assert "Where the run has ended and this still stands here, it was killed" in scene.record(run)
    assert scene.slots("nightly-backup") == 0
    new = {one.key for one in scene.stored("nightly", "platform").sets} - before
    # What was stored before the kill stays; which of the small ones that is depends on the moment.
    assert {key.asset.label for key in new}.isdisjoint({"db large", "cluster"})

    again = scene.installation.run("nightly-backup", source="platform")
    scene.installation.completed(again)
    assert "as one cluster set and one set each" in scene.record(again)
    nothing_is_left(scene, run)
    stored = scene.stored("nightly", "platform")
    assert stored.incomplete == ()
    assert stored.newest(WHOLE) is not None
    assert stored.newest(database("large")) is not None


def test_killed_while_restoring(scene: Scene) -> None:
    scene.installation.completed(scene.installation.run("nightly-backup", source="platform"))
    run = scene.installation.run("restore-databases", server="platform", databases=["large"])
    kill(scene, run, scene.installation.child(run, "engine.streams.unpack", wrote=WELL_BEGUN))
    assert "SIGKILL" in crashed(scene, run)
    names = "SELECT datname FROM pg_database WHERE datname ~ 'large|platform'"
    assert [name for (name,) in scene.sql("postgres", names) if "restored" in str(name)] == []

    scene.installation.completed(scene.installation.run("restore-databases", server="platform", databases=["large"]))
    nothing_is_left(scene, run)
    found = sorted(str(name) for (name,) in scene.sql("postgres", names))
    assert len(found) == 2, found
    assert found[0] == "large"
    assert found[1].startswith("large_restored_")
    sums = [scene.sql(name, "SELECT count(*), sum(hashtext(body)) FROM note") for name in found]
    assert sums[0] == sums[1]
    scene.sql("postgres", f'DROP DATABASE "{found[1]}"')


IN_ORDER_SECONDS = 15.0  # the worker looks for cancelled runs every ten, and kills what has not ended after thirty


def cancelled(scene: Scene, run: UUID) -> None:
    """Cancel as the UI does. It ends in order and by itself: nothing is tried again, and nothing is left."""
    ops = scene.installation
    flow = ops.process(run)
    with ops.client() as client:
        client.set_flow_run_state(run, Cancelling())
    wait_for(lambda: "Flow run was cancelled" in ops.logs(run) or not flow.alive(), 25, pause=0.3)
    began = time.monotonic()
    state = ops.ended(run).state
    wait_for(lambda: not flow.alive(), IN_ORDER_SECONDS - (time.monotonic() - began))
    assert state is not None
    assert state.type is StateType.CANCELLED
    assert "Failed: It was cancelled, or its worker was stopped." in scene.record(run)
    with ops.client() as client:
        names = {
            one.name: one.run_count for one in client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run]}))
        }
    assert names
    assert max(names.values()) == 1, names
    nothing_is_left(scene, run)
    assert scene.sql("postgres", "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == []


def test_cancelled_while_dumping(scene: Scene) -> None:
    run = scene.installation.run("nightly-backup", source="platform")
    dump = scene.installation.child(run, "pg_dump", wrote=WELL_BEGUN)
    dump.send(signal.SIGSTOP)
    cancelled(scene, run)
    assert scene.stored("nightly", "platform").incomplete == ()
    scene.installation.completed(scene.installation.run("nightly-backup", source="platform"))


def test_cancelled_while_its_proof_waits(scene: Scene) -> None:
    """No program is at work that could be ended: a session of ours waits for a table."""
    with psycopg.connect(scene.instance.conninfo("small")) as blocker:
        blocker.execute("LOCK TABLE note")
        run = scene.installation.run("nightly-backup", source="platform")
        wait_for(lambda: scene.sql("postgres", "SELECT 1 FROM pg_locks WHERE NOT granted"))
        cancelled(scene, run)


def test_cancelled_while_restoring_and_drilling(scene: Scene) -> None:
    scene.installation.completed(scene.installation.run("nightly-backup", source="platform"))
    names = "SELECT datname FROM pg_database WHERE datname ~ 'large|platform'"
    for operation, what in (
        ("restore-databases", {"server": "platform", "databases": ["large"]}),
        ("restore-drill", {}),
    ):
        run = scene.installation.run(operation, **what)
        scene.installation.child(run, "engine.streams.unpack", wrote=WELL_BEGUN)
        cancelled(scene, run)
        assert scene.sql("postgres", names) == [("large",)]


def old_sets(folder: Path, count: int) -> None:
    store = FolderStore("nightly", folder)
    then = datetime.now(UTC) - timedelta(days=400)
    for minute in range(count):
        at = then + timedelta(minutes=minute)
        store_set(store, SetKey("platform", "db", "gone", new_set_id(at)), {"gone.dump.gz": b"x"})


def test_killed_while_pruning(scene: Scene) -> None:
    folder = scene.folder / "nightly" / "platform" / "db" / "gone"
    old_sets(scene.folder / "nightly", 600)
    manifests = len(list(folder.glob("*/manifest.json")))
    run = scene.installation.run("prune-backups", source="platform", delete=True, allow_clock_jump=True)
    flow = scene.installation.process(run)
    wait_for(lambda: len(list(folder.glob("*/manifest.json"))) < manifests)
    flow.send(signal.SIGKILL)
    assert "SIGKILL" in crashed(scene, run)
    left = len(list(folder.glob("*/manifest.json")))
    assert 0 < left < manifests
    whole = [path for path in folder.iterdir() if (path / "manifest.json").exists()]
    assert {len(list(path.iterdir())) for path in whole} == {2}  # what is visible is whole

    scene.installation.completed(
        scene.installation.run("prune-backups", source="platform", delete=True, allow_clock_jump=True)
    )
    nothing_is_left(scene, run)
    stored = scene.stored("nightly", "platform")
    assert len([one for one in stored.sets if one.key.name == "gone"]) == 3
    assert scene.slots("prune-backups") == 0
