"""A store with a great many sets: what `list` and `prune` cost, in a folder and in requests to S3."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from bench.figures import Figure
from bench.place import DATA
from bench.s3_listing import CountingServer
from bench.timing import Laps, interleaved, run, tell
from engine.config.settings import Retention, S3Store, StoreRetention
from engine.sets.catalogue import catalogue
from engine.sets.keys import SetKey, VerdictKey, encoded, new_set_id
from engine.sets.prune import BATCH, apply_prune, plan_prune
from engine.stores.opening import open_store

_KEY = "env:BENCH_KEY"
_DATABASES = 99  # and the cluster: a hundred sets a night
_KEYS = 6  # a set's
_CONFIG = """\
[servers.bench]
store = "bench"

[stores.bench]
kind = "folder"
path = "{store}"
retention = {{ cluster = {{ days = {days} }}, database = {{ days = {days} }} }}
"""


def keys(sets: int, now: datetime) -> Iterator[str]:
    """The keys of so many sets: one night a day of a hundred sets each; five files and a verdict a set."""
    for number in range(sets):
        night, database = divmod(number, _DATABASES + 1)
        at = now - timedelta(days=night, hours=1)
        name = f"database_{database:02d}" if database else None
        set_id = new_set_id(at, str(night), str(database))
        own = encoded(name) if name else "001-database_01"
        prefix = SetKey("bench", name, set_id).prefix
        yield from (
            prefix + file
            for file in (
                "000-globals.proof.json.gz.age",
                "000-globals.sql.gz.age",
                f"{own}.{'dump' if name else 'sql'}.gz.age",
                f"{own}.proof.json.gz.age",
                "manifest.json",
            )
        )
        yield str(VerdictKey("bench", set_id, at + timedelta(minutes=30), "drill", "passed"))


def measure(sets: int, laps: int) -> list[Figure]:
    """Figure 9: seconds in a folder, requests in S3, and that both grow no faster than the sets."""
    now = datetime.now(UTC)
    few, many = _folder(sets // 10, now, laps), _folder(sets, now, laps)
    went = sets // 100 * _nights_that_go(sets)
    listing, pruning = _requests(sets, now)
    commands = (".venv/bin/python -m bench --only sets",)
    figures = []
    for what in ("list", "prune"):
        seconds, growth = many.median(what), many.median(what) / few.median(what)
        figures.append(
            Figure(f"{what} of {sets:,} stored sets, folder", seconds, "s", "<", 3.0, None, commands)
        )
        figures.append(
            Figure(f"{what} of {sets:,} sets ÷ of {sets // 10:,}", growth, "", "<=", 11.0, None, commands)
        )
    figures.append(
        Figure(
            f"prune --delete of {went:,} of {sets:,} sets, folder",
            *(many.median("prune --delete"), "s", "<", None, None, commands),
        )
    )
    pages = -(-_KEYS * sets // 1000)
    deletions = 2 * -(-went // BATCH)  # of a batch the manifests, then its other files
    # Once to plan and once more before anything goes; two for what stands around it.
    for what, count, least in (("list", listing, pages), ("prune", pruning, 2 * pages + deletions)):
        figures.append(
            Figure(
                f"{what} of {sets:,} stored sets, S3 requests", count, "", "<=", least + 2, least, commands
            )
        )
    return figures


def _folder(sets: int, now: datetime, laps: int) -> Laps:
    with _store(sets, now) as config:
        environment = dict(os.environ) | {"PLATFORM_OPS_CONFIG": str(config)}
        program = str(Path(sys.executable).with_name("platformctl"))

        def step(*words: str) -> float:
            return run([program, *words], environment)

        found = interleaved({"list": lambda: step("list"), "prune": lambda: step("prune")}, laps)
        # What went is gone: there is one lap of it.
        deleted = interleaved({"prune --delete": lambda: step("prune", "--delete")}, 1)
        found.seconds.update(deleted.seconds)
        return found


@contextmanager
def _store(sets: int, now: datetime) -> Iterator[Path]:
    """A folder store with so many sets of empty files: only keys are read."""
    root = DATA / f"sets-{sets}"
    shutil.rmtree(root, ignore_errors=True)
    began = time.monotonic()
    try:
        for folder, files in groupby(keys(sets, now), key=lambda key: key.rpartition("/")[0]):
            (root / "store" / folder).mkdir(parents=True)
            for key in files:
                (root / "store" / key).touch(mode=0o600)
        config = root / "platform-ops.toml"
        config.write_text(_CONFIG.format(store=root / "store", days=_days(sets)), encoding="utf8")
        tell(f"{sets:,} sets made in {time.monotonic() - began:.0f} s")
        yield config
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _requests(sets: int, now: datetime) -> tuple[int, int]:
    """Requests that `list` and `prune` send, counted by a server that answers as S3 does."""
    retention = StoreRetention(cluster=Retention(days=_days(sets)), database=Retention(days=_days(sets)))
    os.environ[_KEY.removeprefix("env:")] = "bench"
    with CountingServer(sorted(keys(sets, now)), now) as server:
        settings = S3Store(bucket="bench", endpoint_url=server.url, access_key=_KEY, secret_key=_KEY)
        store = open_store("bench", settings)
        began = time.monotonic()
        catalogue(store, "bench")
        listing = server.take_count()
        tell(f"list of {sets:,} sets in S3: {listing} requests, {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        plan = plan_prune(store, "bench", retention, now, sizes=True)
        apply_prune(store, plan)
        pruning = server.take_count()
        tell(f"prune of {sets:,} sets in S3: {pruning} requests, {time.monotonic() - began:.1f} s")
    return listing, pruning


def _nights_that_go(sets: int) -> int:
    return max(1, 3 * sets // (_DATABASES + 1) // 100)


def _days(sets: int) -> int:
    return max(1, sets // (_DATABASES + 1) - _nights_that_go(sets))
