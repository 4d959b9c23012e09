"""The whole backup run against `pg_dumpall` and against the shell people run: time, size and memory."""

from __future__ import annotations

import shlex
import shutil
import statistics
from pathlib import Path

from bench.figures import Figure
from bench.memory import peak_of
from bench.testbed import Testbed
from bench.timing import Laps, interleaved, report, run, shell

START = 'eval "$(.venv/bin/python -m bench.testbed start)"'
STOP = ".venv/bin/python -m bench.testbed stop"
BACKUP = "platformctl backup"
DUMPALL = "pg_dumpall > /dev/null"
NAMES = "SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template1'"
SHELL = (
    "mkdir -p bench/data/shell && pg_dumpall | gzip > bench/data/shell/all.sql.gz && "
    f'psql -Atc "{NAMES}" | while IFS= read -r name; do '
    'PGDATABASE="$name" pg_dump | gzip > "bench/data/shell/$name.sql.gz"; done'
)
_OUTPUT = Path("bench/data/shell")
_RUN, _DUMPALL, _SHELL = "the backup run", "pg_dumpall > /dev/null", "the shell people run"


def measure(testbed: Testbed, laps: int) -> list[Figure]:
    """Figures 1, 2 and 3 of the issue's table, from the same laps."""
    shell(DUMPALL, testbed.environment)  # or the first to run would read from the disk what the others find in memory
    sizes: list[float] = []
    found = interleaved(
        {
            _DUMPALL: lambda: shell(DUMPALL, testbed.environment),
            _RUN: lambda: _run(testbed),
            _SHELL: lambda: _usual(testbed, sizes),
        },
        laps,
    )
    report(f"stored: {_size(testbed.store):,} bytes, by the shell: {_size(_OUTPUT):,}")
    shutil.rmtree(_OUTPUT, ignore_errors=True)
    return [
        _times(found, _DUMPALL, DUMPALL, must=2.0, aim=1.25),
        _times(found, _SHELL, f"bash -c {shlex.quote(SHELL)}", must=0.5, aim=0.35),
        _sizes(sizes),
    ]


def _run(testbed: Testbed) -> float:
    testbed.clear_store()
    return run(BACKUP.split(), testbed.environment)


def _usual(testbed: Testbed, sizes: list[float]) -> float:
    """The shell's turn; the backup run's store is still there, so both sizes are of the same lap."""
    shutil.rmtree(_OUTPUT, ignore_errors=True)
    seconds = shell(SHELL, testbed.environment)
    sizes.append(_size(testbed.store) / _size(_OUTPUT))
    return seconds


def _times(found: Laps, other: str, command: str, *, must: float, aim: float) -> Figure:
    return Figure(
        f"whole backup run ÷ {other}",
        found.ratio(_RUN, other),
        "",
        "<=",
        must,
        aim,
        (START, f"time {command}", f"time {BACKUP}", STOP),
    )


def _sizes(sizes: list[float]) -> Figure:
    return Figure(
        "stored bytes ÷ gzip -6 of the same",
        statistics.median(sizes),
        "",
        "<=",
        1.25,
        1.0,
        (
            START,
            SHELL,
            BACKUP,
            "du -sb bench/data/shell",
            'du -sb "$(dirname "$PLATFORM_OPS_CONFIG")/store"',
            STOP,
        ),
    )


def measure_memory(testbed: Testbed, label: str) -> list[Figure]:
    """Figure 5: the backup run's peak, then a restore's."""
    testbed.clear_store()
    backup_run = peak_of(BACKUP.split(), testbed.environment)
    report(f"memory of the backup run at {label}: RSS {backup_run.rss / 1e6:.0f} MB, PSS {backup_run.pss / 1e6:.0f} MB")
    commands = (f".venv/bin/python -m bench --only memory{' --large' if label == '10 GB' else ''}",)
    return [Figure(f"peak memory of the backup run at {label}", backup_run.rss / 1e6, "MB", "<", 200, None, commands)]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
