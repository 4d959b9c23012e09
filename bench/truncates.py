"""Backups beside an application that empties a small table all the time: how many of them end well, and of pg_dump."""

from __future__ import annotations

import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bench.figures import Figure
from bench.testbed import Testbed, running
from bench.timing import MeasureError, report

PAUSE_SECONDS = 0.02
_DATABASE = "truncated"
_TABLES = """
CREATE TABLE queue (id integer PRIMARY KEY, note text);
CREATE TABLE note AS SELECT i AS id, md5(i::text) AS body FROM generate_series(1, 200000) AS i;
"""
_BACKUP, _DUMP = ["platformctl", "backup"], ["pg_dump", "--file=/dev/null", _DATABASE]


def measure(runs: int) -> list[Figure]:
    """So many backup runs and so many plain pg_dump, in turn; a backup run must end well as often as pg_dump does."""
    with running(Testbed(1, "truncates"), keep=False) as testbed:
        with testbed.connect() as admin:
            admin.execute(f"CREATE DATABASE {_DATABASE}".encode())
        with testbed.connect(_DATABASE) as connection:
            connection.execute(_TABLES.encode())
        with _application(testbed):
            ended = [(_tried(testbed, _DUMP), _tried(testbed, _BACKUP)) for _ in range(runs)]
    dumps, backup_runs = (sum(well) for well in zip(*ended, strict=True))
    commands = (
        ".venv/bin/python -m bench --only truncates",
        f"# beside TRUNCATE queue, every {PAUSE_SECONDS * 1000:g} ms",
    )
    return [
        Figure(f"plain pg_dump that end well beside TRUNCATEs, of {runs}", dumps, "", ">=", None, None, commands),
        Figure(f"backup runs that end well beside TRUNCATEs, of {runs}", backup_runs, "", ">=", dumps, runs, commands),
    ]


def _tried(testbed: Testbed, argv: list[str]) -> bool:
    began = time.monotonic()
    done = subprocess.run(argv, env=testbed.environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    message = done.stderr.decode("utf8", "replace").strip().splitlines()[-1:] if done.returncode else []
    report(f"{argv[0]}: exit {done.returncode} after {time.monotonic() - began:.2f} s {''.join(message)}")
    return done.returncode == 0


@contextmanager
def _application(testbed: Testbed) -> Iterator[None]:
    """It empties and fills its small table meanwhile; how often, and how long that took, is told.

    Raises:
        MeasureError: it was ended before the block was, so nothing was measured.
    """
    over, took = threading.Event(), list[float]()

    def work() -> None:
        with testbed.connect(_DATABASE) as connection:
            while not over.wait(PAUSE_SECONDS):
                took.append(_emptied(connection))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
        if not thread.is_alive():
            raise MeasureError("the application that empties its table was ended by something else")
    finally:
        over.set()
        thread.join()
    report(f"the application: {len(took)} TRUNCATEs, median {statistics.median(took):.3f} s, longest {max(took):.2f} s")


def _emptied(connection: psycopg.Connection[tuple[object, ...]]) -> float:
    began = time.monotonic()
    connection.execute("TRUNCATE queue")
    took = time.monotonic() - began
    connection.execute("INSERT INTO queue SELECT i, md5(i::text) FROM generate_series(1, 100) AS i")
    return took
