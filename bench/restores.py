"""Restores against `gunzip | psql`: a database of several large tables, and one that is a single large one.

A restore checks the stored bytes, decrypts, loads, and compares every row with the proof; psql only loads.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from functools import partial
from pathlib import Path

from bench.figures import Figure
from bench.large_tables import LARGE, SEVERAL
from bench.memory import peak_of
from bench.testbed import Testbed
from bench.timing import Step, interleaved, report, run, shell

_START = 'eval "$(.venv/bin/python -m bench.testbed start --kind tables)"'
_STOP = ".venv/bin/python -m bench.testbed stop --kind tables"
_BACKUP = "platformctl backup --no-prune"  # as a backup run does: its database sets are what people restore
_TEXT = Path("bench/data/restore.sql.gz")
_LARGEST = "kohub"
_BESIDE = "bench_restored_by_psql"


def measure(testbed: Testbed, laps: int) -> list[Figure]:
    """Figure 4, both kinds."""
    figures = []
    run(shlex.split(_BACKUP), testbed.environment)
    for database, words, must in (
        (SEVERAL, "several large tables", 0.75),
        (LARGE, "a single large table", None),
    ):
        commands = _commands(database)
        shell(commands[1], testbed.environment)
        psql, restore = (f"{what} of {words}" for what in ("gunzip | psql", "restore"))
        contestants: dict[str, Step] = {
            psql: partial(_then_clean, testbed, commands[2]),
            restore: partial(_then_clean, testbed, commands[3]),
        }
        found = interleaved(contestants, laps)
        figure = f"restore of a database of {words} ÷ gunzip | psql"
        timed = (_START, *commands[:2], *(f"time {_as_one(each)}" for each in commands[2:]), _STOP)
        figures.append(Figure(figure, found.ratio(restore, psql), "", "<=", must, 0.6, timed))
    _TEXT.unlink()
    return figures


def measure_memory(testbed: Testbed, label: str) -> list[Figure]:
    """Figure 5 for a restore, of the largest of the platform's databases."""
    run(["platformctl", "backup", "--database", _LARGEST, "--no-prune"], testbed.environment)
    peak = peak_of(["platformctl", "restore", "--database", _LARGEST], testbed.environment)
    _clean(testbed)
    report(f"memory of a restore at {label}: RSS {peak.rss / 1e6:.0f} MB, PSS {peak.pss / 1e6:.0f} MB")
    commands = (".venv/bin/python -m bench --only memory",)
    return [Figure(f"peak memory of a restore at {label}", peak.rss / 1e6, "MB", "<", 200, None, commands)]


def _commands(database: str) -> tuple[str, ...]:
    """The set, the text, then the two contestants."""
    return (
        _BACKUP,
        f"pg_dump {database} | gzip > {_TEXT}",
        f"createdb --template=template0 {_BESIDE} && "
        f"gunzip -c {_TEXT} | psql -q -v ON_ERROR_STOP=1 {_BESIDE} > /dev/null",
        f"platformctl restore --database {database} > /dev/null",
    )


def _as_one(script: str) -> str:
    return f"bash -c '{script}'" if "&&" in script else script


def _then_clean(testbed: Testbed, script: str) -> float:
    seconds = shell(script, testbed.environment)
    _clean(testbed)
    return seconds


def _clean(testbed: Testbed) -> None:
    """Drop what was restored, outside the time that counts, and settle the server."""
    for name in testbed.databases():
        if name == _BESIDE or "_restored_" in name:
            testbed.drop(name)
    with suppress(OSError), testbed.connect() as connection:
        connection.execute("CHECKPOINT")
