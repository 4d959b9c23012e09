"""A store with a great many sets: what `list` and `prune` cost, in a folder and in requests to S3."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from bench.figures import Figure
from bench.s3_listing import CountingServer
from bench.testbed import DATA
from bench.timing import Laps, interleaved, report, run
from engine.config.settings import Retention, S3Store
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey, encoded, new_set_id
from engine.repository.prune import BATCH, apply_prune
from engine.repository.prune_plan import plan_prune
from engine.repository.repository import open_repository
from engine.repository.verdict_keys import VerdictKey

_KEY = "env:BENCH_KEY"
_DATABASES = 99  # and the cluster
_RUN = _DATABASES + 1
_COMMANDS = (".venv/bin/python -m bench --only sets",)
_CONFIG = """\
[servers.bench]
store = "bench"

[stores.bench]
kind = "folder"
path = "{store}"
retention = {{ cluster = {{ days = {days} }}, db = {{ days = {days} }} }}
"""


def keys(sets: int, now: datetime) -> Iterator[str]:
    """The keys of so many sets, five files each."""
    for key in _sets(sets, now):
        own = encoded(key.name) if key.name else "001-database_01"
        yield from (
            key.prefix + file
            for file in (
                "000-globals.proof.json.gz.age",
                "000-globals.sql.gz.age",
                f"{own}.{'dump' if key.name else 'sql'}.gz.age",
                f"{own}.proof.json.gz.age",
                "manifest.json",
            )
        )


def verdicts(sets: int, now: datetime) -> Iterator[str]:
    """The keys of a passed drill of each set."""
    for key in _sets(sets, now):
        yield str(VerdictKey(key, key.created + timedelta(minutes=30), "drill", "passed"))


def _sets(sets: int, now: datetime) -> Iterator[SetKey]:
    """One backup run a day of a hundred sets each."""
    for number in range(sets):
        backup_run, database = divmod(number, _RUN)
        at = now - timedelta(days=backup_run, hours=1)
        kind, name = ("db", f"database_{database:02d}") if database else ("cluster", "")
        yield SetKey("bench", kind, name, new_set_id(at, str(backup_run), str(database)))


def measure(sets: int, laps: int) -> list[Figure]:
    """Figure 9: seconds in a folder, requests in S3, and that both grow no faster than the sets."""
    now = datetime.now(UTC)
    few, _, many = (_folder(count, now, laps) for count in (sets // 10, 3 * sets // 10, sets))
    went = _RUN * _runs_that_go(sets)
    figures = []
    for what in ("list", "prune"):
        figures += [
            _seconds(f"{what} of {sets:,} stored sets, folder", many.median(what), 3.0),
            _seconds(f"{what} of {sets:,} stored sets with a verdict each", many.median(f"{what}, drilled"), 3.0),
            _seconds(
                f"{what} of {sets:,} stored sets with a verdict each, processor",
                many.median(f"{what}, drilled, processor"),
            ),
            *(
                Figure(
                    f"{what} of {sets:,} sets{mark} ÷ of {sets // 10:,}",
                    *(many.median(what + mark) / few.median(what + mark), "", "<=", 11.0, None, _COMMANDS),
                )
                for mark in ("", ", drilled")
            ),
        ]
    figures.append(_seconds(f"prune --delete of {went:,} of {sets:,} sets, folder", many.median("prune --delete")))
    pages = -(-6 * sets // 1000)
    # Of a batch the manifests go, then its other files, and last all verdicts; before each the bucket is asked
    # whether it has an object lock.
    deletions = 4 * -(-went // BATCH) + 1 + -(-went // 1000)
    # Once to plan and once more before anything goes; two for what stands around it.
    least = {"list": pages, "prune": 2 * pages + deletions}
    for what, count in _requests(sets, now).items():
        name = f"{what} of {sets:,} stored sets with a verdict each, S3 requests"
        figures.append(Figure(name, count, "", "<=", least[what] + 2, least[what], _COMMANDS))
    return figures


def _seconds(what: str, seconds: float, must: float | None = None) -> Figure:
    return Figure(what, seconds, "s", "<", must, None, _COMMANDS)


def _folder(sets: int, now: datetime, laps: int) -> Laps:
    with _store(sets) as config:
        environment = dict(os.environ) | {"PLATFORM_OPS_CONFIG": str(config)}
        program = str(Path(sys.executable).with_name("platformctl"))

        processor: dict[str, list[float]] = {}

        def step(mark: str, *words: str) -> float:
            before = _processor_seconds()
            took = run([program, *words], environment)
            processor.setdefault(f"{words[0]}{mark}, processor", []).append(_processor_seconds() - before)
            return took

        def both(mark: str = "") -> dict[str, list[float]]:
            steps = {f"list{mark}": lambda: step(mark, "list"), f"prune{mark}": lambda: step(mark, "prune")}
            return interleaved(steps, laps).seconds

        _make(config.parent, keys(sets, now))
        found = both()
        _make(config.parent, verdicts(sets, now))
        found |= both(", drilled")
        # What went is gone: there is one lap of it.
        found |= interleaved({"prune --delete": lambda: step(", delete", "prune", "--delete")}, 1).seconds
        for what, seconds in processor.items():
            report(f"{sets:,} sets: {what} {statistics.median(seconds):.2f} s")
        return Laps(found | processor)


def _processor_seconds() -> float:
    """Of all children that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _store(sets: int) -> Iterator[Path]:
    """The configuration of an empty folder store for so many sets."""
    root = DATA / f"sets-{sets}"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        config = root / "platform-ops.toml"
        config.write_text(_CONFIG.format(store=root / "store", days=_days(sets)), encoding="utf8")
        yield config
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _make(root: Path, stored: Iterable[str]) -> None:
    """Empty files: only keys are read."""
    began = time.monotonic()
    for folder, files in groupby(stored, key=lambda key: key.rpartition("/")[0]):
        (root / "store" / folder).mkdir(parents=True, exist_ok=True)
        for key in files:
            (root / "store" / key).touch(mode=0o600)
    report(f"made in {time.monotonic() - began:.0f} s")


def _requests(sets: int, now: datetime) -> dict[str, int]:
    """Requests that `list` and `prune` send, counted by a server that answers as S3 does."""
    retention = dict.fromkeys(("cluster", "db"), Retention(days=_days(sets)))
    os.environ[_KEY.removeprefix("env:")] = "bench"
    stored = sorted([*keys(sets, now), *verdicts(sets, now)])
    with CountingServer(stored, now) as server:
        settings = S3Store(
            bucket="bench", endpoint_url=server.url, access_key=_KEY, secret_key=_KEY, retention=retention
        )
        repository = open_repository("bench", settings)
        began = time.monotonic()
        catalogue(repository, "bench")
        listing = server.take_count()
        report(f"list of {sets:,} sets in S3: {listing} requests, {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        plan = plan_prune(repository, "bench", now, sizes=True)
        apply_prune(repository, plan)
        pruning = server.take_count()
        report(f"prune of {sets:,} sets in S3: {pruning} requests, {time.monotonic() - began:.1f} s")
    return {"list": listing, "prune": pruning}


def _runs_that_go(sets: int) -> int:
    return max(1, 3 * sets // _RUN // 100)


def _days(sets: int) -> int:
    return max(1, sets // _RUN - _runs_that_go(sets))
