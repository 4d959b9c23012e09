"""Volumes: how fast one is stored beside `tar | zstd`, the memory it takes, many small files, and how long a service is
down."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from bench.figures import Figure
from bench.memory import peak_of
from bench.timing import MeasureError, Step, interleaved, report, shell
from tests.engine.cli.command import COMMAND
from tests.engine.cli.site import environment
from tests.engine.sources.volumes.scene import Engine, Kept, engine_at, kept, longest_pause

_COMMANDS = ("python -m bench --only volumes",)
_PIECE = 1 << 20
_EACH = 64 << 20


def measure(gigabytes: int, files: int, laps: int) -> list[Figure]:
    """`gigabytes` for the rate; `files` small ones, and ten times as many."""
    with engine_at() as engine:
        return [*_streaming(engine, gigabytes, laps), *_small_files(engine, files), *_downtime(engine)]


def measure_memory(gigabytes: int) -> list[Figure]:
    with engine_at() as engine, _site(engine, "none") as (site, folder):
        _fill(folder, gigabytes << 30)
        peak = peak_of([*COMMAND, "--config", str(site.site.config), "backup"], environment())
        label = f"volumes: peak memory of a backup of {gigabytes} GB, engine and children"
        return [Figure(label, peak.rss / 1e6, "MB", "<", 200.0, None, _COMMANDS)]


@contextmanager
def _site(engine: Engine, quiesce: str) -> Iterator[tuple[Kept, Path]]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        volume = engine.volume()
        yield kept(engine, Path(folder), {volume.parent.name: quiesce}), volume
        engine("volume", "rm", "--force", volume.parent.name, check=False)


def _fill(folder: Path, size: int) -> None:
    """Half of it is text that shrinks to a fifth, half is random, as uploads are."""
    words = (b"%d the quick brown fox jumps over the lazy dog, again and again\n" % number for number in range(1 << 30))
    text = b"".join(next(words) for _ in range(_PIECE // 64))[:_PIECE]
    for number in range(size // _EACH):
        with (folder / f"file-{number:05d}").open("wb") as file:
            for _ in range(_EACH // _PIECE):
                file.write(text if number % 2 else os.urandom(_PIECE))


def _fill_with_databases(folder: Path, size: int) -> None:
    """SQLite databases of heartbeats, as Uptime Kuma keeps them; each is the same one, and far larger than what a
    compressor looks back to."""
    first, chance = folder / "kuma-00.db", random.Random(7)  # noqa: S311
    with sqlite3.connect(first) as database:
        database.execute(
            "CREATE TABLE heartbeat (id INTEGER PRIMARY KEY, important BOOLEAN, monitor_id INTEGER, status SMALLINT, msg TEXT, "
            "time DATETIME, ping INTEGER, duration INTEGER)"
        )
        while first.stat().st_size < 4 * _EACH:
            database.executemany("INSERT INTO heartbeat VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", _heartbeats(chance))
            database.commit()
    database.close()
    for number in range(1, round(size / first.stat().st_size)):
        shutil.copyfile(first, folder / f"kuma-{number:02d}.db")


def _heartbeats(chance: random.Random) -> Iterator[tuple[object, ...]]:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(10**7))
    for _ in range(100_000):
        at += timedelta(milliseconds=chance.randrange(2500))
        down = chance.random() < 0.01
        refused = f"connect ECONNREFUSED 10.0.0.{chance.randrange(256)}:{chance.randrange(65536)}"
        shown = at.isoformat(" ", "milliseconds")
        yield (
            down,
            chance.randrange(1, 25),
            int(not down),
            refused if down else "200 - OK",
            shown,
            chance.randrange(5, 900),
            60,
        )


def _streaming(engine: Engine, gigabytes: int, laps: int) -> Iterator[Figure]:
    kinds: dict[str, tuple[Callable[[Path, int], None], float | None]] = {
        "databases as Uptime Kuma's": (_fill_with_databases, 1.2),
        "half repeated text, half random bytes": (_fill, None),
    }
    for what, (fill, must) in kinds.items():
        with _site(engine, "none") as (site, folder):
            fill(folder, gigabytes << 30)
            report(f"volumes: {gigabytes} GB of {what}")
            contestants: dict[str, Step] = {
                "tar | zstd": partial(_archived, folder, site.site.folder / "baseline.tar.zst"),
                "volume": partial(_backed_up, site),
            }
            ratio = interleaved(contestants, laps).ratio("volume", "tar | zstd")
            label = f"volumes: storing {gigabytes} GB of {what} ÷ `tar | zstd` and `sync` of it"
            yield Figure(label, ratio, "", "<=", must, 1.0, _COMMANDS)


def _archived(folder: Path, target: Path) -> float:
    """On the disk, as a set is: what is not is no backup."""
    took = shell(f"tar --create --directory={folder} . | zstd --quiet -o {target} && sync {target}", os.environ)
    target.unlink()
    return took


def _backed_up(site: Kept) -> float:
    """Seconds from the command's start to its end: its lock, its containers and its retention too."""
    began = time.monotonic()
    site.run("backup", "--no-prune")
    took = time.monotonic() - began
    subprocess.run(["rm", "-rf", str(site.site.store)], check=True)
    return took


def _small_files(engine: Engine, files: int) -> list[Figure]:
    """What each one costs, beyond what a backup of nothing takes: its lock, its containers."""
    fixed, _ = _small(engine, 0)
    fewer, _ = _small(engine, files)
    more, peak = _small(engine, 10 * files)
    ratio = (more - fixed) / (10 * (fewer - fixed))
    message = f"volumes: {10 * files:,} small files ÷ {files:,}, for each"
    return [
        Figure(message, ratio, "", "<=", 1.2, 1.0, _COMMANDS),
        Figure(f"volumes: peak memory at {10 * files:,} files", peak, "MB", "<", 200.0, None, _COMMANDS),
    ]


def _small(engine: Engine, count: int) -> tuple[float, float]:
    """Seconds and MB of a backup of so many files; tar's own memory, in its container, is not in it."""
    with _site(engine, "none") as (site, folder):
        for number in range(count):
            if number % 1000 == 0:
                (folder / f"{number // 1000:04d}").mkdir()
            (folder / f"{number // 1000:04d}" / f"{number % 1000:03d}.txt").write_bytes(b"%d\n" % number * 20)
        os.sync()
        began = time.monotonic()
        peak = peak_of([*COMMAND, "--config", str(site.site.config), "backup"], environment())
        took = time.monotonic() - began
        report(f"volumes: {count:,} files, {took:.1f} s, {peak.rss / 1e6:.0f} MB")
        return took, peak.rss / 1e6


def _downtime(engine: Engine) -> list[Figure]:
    """How long a service with a database in WAL mode is down, beyond its own stop and start; with `sqlite` how long it
    could not write."""
    with ExitStack() as stack:
        site, folder = stack.enter_context(_site(engine, "stop"))
        service = engine.service(folder.parent.name, pause=0.01)
        _grow(folder / "kuma.db", 1 << 30)
        began = time.monotonic()
        engine("stop", service)
        engine("start", service)
        own = time.monotonic() - began
        [made] = site.run("backup")["stored"]
        down = made["facts"]["down_seconds"]
        report(f"volumes: down for {down:.2f} s, its own stop and start {own:.2f} s")
        if made["facts"]["stopped"] != [service]:
            raise MeasureError("the service was not stopped")
        quiet, other = stack.enter_context(_site(engine, "sqlite"))
        writer = engine.service(other.parent.name, pause=0.01)
        _grow(other / "kuma.db", 1 << 30)
        since = time.time()
        quiet.run("backup")
        engine("stop", writer)
        pause = longest_pause(other / "kuma.db", since)
        return [
            Figure(
                "volumes: down with 1 GB of SQLite, beyond stop and start", down - own, "s", "<=", 2.0, 1.0, _COMMANDS
            ),
            Figure("volumes: the same held by SQLite: it could not write for", pause, "s", "<=", 1.0, 0.1, _COMMANDS),
        ]


def _grow(path: Path, size: int) -> None:
    """Fill a service's database while it writes to it."""
    with sqlite3.connect(path, timeout=30) as database:
        database.execute("CREATE TABLE filling (data BLOB)")
        for _ in range(size >> 24):
            database.execute("INSERT INTO filling VALUES (randomblob(?))", (16 << 20,))
            database.commit()
    database.close()
