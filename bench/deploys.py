"""Deploys under load: what is lost, how soon the new version answers, and what plain compose does in the same run."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx

from bench.figures import Figure
from bench.timing import MeasureError, report
from engine.operations.release import ReleaseRun
from engine.progress import silent
from engine.sources.postgres.scratch.socket_and_port import free_port
from engine.steps import InShell
from tests.e2e.whole_platform import BREAKING, Whole, whole_platform
from tests.engine.releases.small_platform import SmallPlatform, build_images, small_platform

UPDATES, ROLLBACKS, PER_SECOND = 12, 4, 300.0
OLD, NEW = "1.0.0", "1.1.0"
_SWAP = (
    "hold nginx",
    "start the new",
    "let nginx send",
    "ask every route",
    "let open requests",
    "record the release",
    "stop the old",
    "let nginx know",
)
ROWS = 8_000_000
_TICKETS = """
CREATE TABLE ticket AS
SELECT i AS id, md5(i::text) AS author, md5((i * 7)::text) || md5((i * 13)::text) AS title, now() AS opened
FROM generate_series(1, {rows}) AS i;
ALTER TABLE ticket ADD PRIMARY KEY (id);
CREATE INDEX ON ticket (author)"""
_COMMAND = "python -m bench --only deploys"


class Watcher:
    """Asks for the version on a new connection again and again, and remembers when each was first told."""

    def __init__(self, url: str) -> None:
        self.url, self.seen, self.failed, self._over = url, dict[str, float](), 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher")

    def _watch(self) -> None:
        while not self._over.wait(0.03):
            try:
                version = httpx.get(f"{self.url}/api/version", verify=False, timeout=10).headers.get("x-version", "")  # noqa: S501
                self.seen.setdefault(version, time.time())
            except httpx.HTTPError:
                self.failed += 1

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()


def measure(quick: bool) -> Iterator[Figure]:
    """All figures of deploys, on one small platform."""
    build_images()
    with (
        tempfile.TemporaryDirectory(prefix="platform-ops-bench-", dir="/var/tmp") as folder,
        _platform(Path(folder)) as small,
    ):
        own = _own_start(small)
        report(f"deploys: the application's own start takes {own:.1f} s")
        yield from _idle(small, own)
        yield from _lost(small, 1 if quick else ROLLBACKS, 2 if quick else UPDATES)
        yield from _rollback(small)
        yield _nothing(small)
    with tempfile.TemporaryDirectory(prefix="platform-ops-bench-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        with whole_platform(Path(folder)) as whole:
            yield _with_databases(whole, ROWS // 100 if quick else ROWS)


@contextmanager
def _platform(folder: Path) -> Iterator[SmallPlatform]:
    folder.chmod(0o755)
    with small_platform(folder, free_port(28_900)) as small:
        small.edit("nginx/nginx.conf", "keepalive_min_timeout 2s", "keepalive_min_timeout 10s")
        small.change()
        yield small


def _own_start(small: SmallPlatform) -> float:
    """Seconds from the start of a container of the application until it answers, with nobody else at it; of three the median."""
    docker = small.platform().docker
    took = []
    for _ in range(3):
        began = time.monotonic()
        name = (
            docker.call(
                ("docker", "run", "--detach", "--rm", "--network", small.project, f"platform-ops/kohub-backend:{NEW}")
            )
            .decode()
            .strip()
        )
        (container,) = docker.inspected([name])
        while True:
            try:
                if httpx.get(f"http://{container.address}:8080/actuator/health", timeout=1).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.02)
            if time.monotonic() - began > 60:
                raise MeasureError("the application did not start")
        took.append(time.monotonic() - began)
        docker.call(("docker", "rm", "--force", name))
    return statistics.median(took)


def _idle(small: SmallPlatform, own: float) -> Iterator[Figure]:
    """A swap nobody else disturbs: until a new connection gets the new version, and all of it."""
    with Watcher(small.url) as watcher:
        run = small.change("update", kohub_backend=NEW)
    started = small.containers()["kohub-backend"][0].started
    if started is None or NEW not in watcher.seen:
        raise MeasureError("the new version was never seen")
    swap = sum(seconds for title, seconds, _ in run.timings if title.startswith(_SWAP))
    seen = watcher.seen[NEW] - _start_of(run, started)
    yield Figure(
        "deploy: new version on a new connection, beyond its own start", seen - own, "s", "<=", 3.0, 1.2, (_COMMAND,)
    )
    yield Figure(
        "deploy: a whole swap, clients idle, beyond its own start", swap - own, "s", "<=", 14.0, 12.0, (_COMMAND,)
    )
    small.change("rollback")


def _start_of(run: ReleaseRun, started: datetime) -> float:
    """When the new container was started; docker tells whole seconds here, so the step's own beginning bounds it."""
    before = sum(seconds for title, seconds, _ in run.timings[: _index(run, "start the new")])
    return max(started.timestamp(), run.started.timestamp() + before)


def _index(run: ReleaseRun, title: str) -> int:
    return next(number for number, (name, _, _) in enumerate(run.timings) if name.startswith(title))


def _lost(small: SmallPlatform, rollbacks: int, updates: int) -> Iterator[Figure]:
    """Updates and rollbacks one after the other under load."""
    began = time.monotonic()
    with small.under_load(PER_SECOND) as counts:
        for number in range(updates):
            version = NEW if number % 2 == 0 else OLD
            small.change("update", kohub_backend=version)
            if number % 3 == 2 and number // 3 < rollbacks:
                small.change("rollback")
                small.change("update", kohub_backend=version)
            report(f"deploys: {number + 1} of {updates} updates, {time.monotonic() - began:.0f} s")
    report(
        f"deploys: {counts.sent:,} requests, {counts.unprocessed} HTTP/2 streams above a GOAWAY, failures {dict(counts.failures)}"
    )
    yield Figure(
        f"deploy: failed of {counts.sent} requests over {updates} updates and {rollbacks} rollbacks",
        counts.failed,
        "",
        "<=",
        0,
        0,
        (_COMMAND,),
    )
    yield Figure(
        "deploy: HTTP/2 streams above a GOAWAY, which clients repeat",
        counts.unprocessed,
        "",
        "<=",
        None,
        None,
        (_COMMAND,),
    )


def _rollback(small: SmallPlatform) -> Iterator[Figure]:
    """A rollback of all rolling services until a new connection sees the old version, against compose by hand."""
    small.change(kohub_backend=OLD, kohub_frontend=OLD)
    small.change(kohub_backend=NEW, kohub_frontend=NEW)
    began = time.time()
    with Watcher(small.url) as watcher:
        small.change("rollback")
    ours = watcher.seen[OLD] - began
    lost = watcher.failed
    small.change(kohub_backend=NEW, kohub_frontend=NEW)
    with small.under_load(PER_SECOND) as counts:
        began = time.time()
        with Watcher(small.url) as plain:
            argv = ["docker", "compose", "up", "--detach", "--force-recreate", "kohub-backend", "kohub-frontend"]
            subprocess.run(argv, cwd=small.directory, check=True, capture_output=True)
            done = time.time()
            while not any(at > done - 0.5 for at in plain.seen.values()) and time.time() - done < 60:
                plain.seen.clear()
                time.sleep(0.1)
    compose = max(done, *plain.seen.values()) - began
    report(
        f"deploys: rollback {ours:.1f} s (lost {lost}), compose up --force-recreate {compose:.1f} s (lost {counts.failed} of {counts.sent})"
    )
    yield Figure(
        "deploy: image rollback / compose up --force-recreate", ours / compose, "", "<=", 1.5, 1.0, (_COMMAND,)
    )
    yield Figure(
        "deploy: requests lost by compose up --force-recreate", counts.failed, "", "<=", None, None, (_COMMAND,)
    )


def _with_databases(whole: Whole, rows: int) -> Figure:
    """A breaking release of the whole platform goes back with its database, until the old version answers."""
    whole.sql("kohub", _TICKETS.format(rows=rows))
    size = int(whole.sql("kohub", "SELECT sum(length(row::text) + 1) FROM ticket AS row"))
    began = time.monotonic()
    whole.change("update", kohub_backend=BREAKING)
    report(
        f"deploys: {size / 1e9:.2f} GB of rows, the update with its verified backup {time.monotonic() - began:.0f} s"
    )
    whole.sql("kohub", "DROP TABLE ticket")
    began = time.monotonic()
    whole.back_with_databases(("kohub",)).carry_out(("kohub",), "`confirm`", InShell(silent))
    seconds = time.monotonic() - began
    if int(whole.sql("kohub", "SELECT count(*) FROM ticket")) != rows:
        raise MeasureError("the rows did not come back")
    return Figure(
        f"deploy: image and database rollback, {size / 1e9:.1f} GB", seconds, "s", "<=", 600.0, 120.0, (_COMMAND,)
    )


def _nothing(small: SmallPlatform) -> Figure:
    small.change(kohub_backend=NEW, kohub_frontend=NEW)
    run = small.change(kohub_backend=NEW, kohub_frontend=NEW)
    if run.plan is None or not run.plan.empty:
        raise MeasureError("a deploy with nothing to change had a plan")
    return Figure("deploy: nothing to change", run.seconds, "s", "<=", 5.0, None, (_COMMAND,))
