"""What happens while a rollout is under way: the API server restarts, the run is killed, another run comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import LockedByAnother
from engine.kubernetes import records
from engine.kubernetes.waiting import Superseded
from engine.progress import silent
from engine.steps import InShell
from tests.engine.kubernetes.application import App, configuration
from tests.kubebox import NEW, OLD, Cluster

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("kubernetes")]
SECONDS = 120.0


def _until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _started(app: App, *arguments: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", "import sys; from engine.cli import main; sys.exit(main())", "k8s", *arguments]
    return subprocess.Popen(
        [*argv, "--config", str(configuration(app))], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _is_rolling(app: App, version: str) -> bool:
    return any(pod["spec"]["containers"][0]["image"].endswith(version) for pod in app.pods())


def test_a_run_that_is_killed_is_finished_or_put_back_by_the_next(app: App) -> None:
    app.deploy(OLD)

    app.configure(ready_seconds=4)  # so that it is still under way when it is killed
    killed = _started(app, "deploy", NEW)
    _until(lambda: _is_rolling(app, NEW))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    after = app.deploy(NEW)
    assert after.recovered.endswith("was cut off. Its rollout ended well: it was finished.")
    assert after.plan is not None and after.plan.empty
    assert app.image() == NEW

    app.configure("crash", ready_seconds=4)
    killed = _started(app, "deploy", OLD)
    _until(lambda: _is_rolling(app, OLD))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    app.configure("well", ready_seconds=4)
    after = app.deploy("")
    assert "crashes again and again" in after.recovered and "It was undone" in after.recovered
    assert app.image() == NEW
    assert [each.state for each in records.releases(app.connection, "kerp-api")] == ["good", "good", "undone"]


def test_of_two_at_once_one_is_told_who_is_at_it(app: App) -> None:
    app.deploy(OLD)
    app.configure("never-ready")
    first = app.run(version=NEW)
    failed = threading.Thread(target=lambda: _ignored(first.carry_out), daemon=True)
    failed.start()
    _until(lambda: _is_rolling(app, NEW))
    with pytest.raises(LockedByAnother, match=r"kerp-api in kerp-t.* of box is locked by a test since 20"):
        app.deploy(OLD)

    # Somebody without the lock changes it: what is waited for is that revision, and no other.
    app.cluster.kubectl(
        "-n", app.namespace, "set", "image", "deployment/kerp-api", f"kerp-api=local.test/kerp/api:{OLD}"
    )
    failed.join(SECONDS)
    assert not failed.is_alive()
    assert isinstance(ERRORS.pop(), Superseded)
    assert app.image() == OLD


ERRORS: list[BaseException] = []


def _ignored(work: Callable[[InShell], None]) -> None:
    try:
        work(InShell(silent))
    except Exception as error:  # noqa: BLE001 - the test looks at it
        ERRORS.append(error)


def test_an_api_server_that_restarts_meanwhile_is_waited_for(app: App, cluster: Cluster) -> None:
    if cluster.folder is None:
        pytest.skip("the API server of a cluster of somebody else's is left alone")
    app.deploy(OLD)
    reported: list[str] = []
    run = app.run(version=NEW)

    def report(what: str, done: int = 0, total: int = 0) -> None:
        reported.append(what)

    rolling = threading.Thread(target=lambda: run.carry_out(InShell(report)), daemon=True)
    rolling.start()
    _until(lambda: any("revision" in line for line in reported))
    _restart(cluster)
    rolling.join(SECONDS)
    assert not rolling.is_alive()
    assert "the API server is away: waiting for it" in reported
    assert run.release is not None and run.release.state == "good"
    assert app.image() == NEW


def _restart(cluster: Cluster) -> None:
    """Kill it and start it again, as its supervisor does."""
    assert cluster.folder is not None
    pid = cluster.pid("kube-apiserver")
    argv = [word.decode() for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if word]
    os.kill(pid, signal.SIGKILL)
    time.sleep(3)  # nothing that may fail comes before it is there again: other tests need it
    with (cluster.folder / "kube-apiserver.log").open("ab") as log:
        begun = subprocess.Popen(argv, cwd=cluster.folder, stdout=log, stderr=log, start_new_session=True)
    pids = cluster.folder / "pids"
    pids.write_text(pids.read_text().replace(f"{pid} kube-apiserver", f"{begun.pid} kube-apiserver"))
    _until(lambda: cluster.tried("get", "--raw", "/readyz").returncode == 0)
    begun.returncode = 0  # it goes on, and down.sh ends it
