"""The whole night against `pg_dumpall` and against the shell people run: time, size and memory."""

from __future__ import annotations

import shlex
import shutil
import statistics
from pathlib import Path

from bench.figures import Figure
from bench.memory import peak_of
from bench.place import Place
from bench.timing import Laps, interleaved, report, run, shell

START = 'eval "$(.venv/bin/python -m bench.place start)"'
STOP = ".venv/bin/python -m bench.place stop"
BACKUP = "platformctl backup"
DUMPALL = "pg_dumpall > /dev/null"
NAMES = "SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template1'"
SHELL = (
    "mkdir -p bench/data/shell && pg_dumpall | gzip > bench/data/shell/all.sql.gz && "
    f'psql -Atc "{NAMES}" | while IFS= read -r name; do '
    'PGDATABASE="$name" pg_dump | gzip > "bench/data/shell/$name.sql.gz"; done'
)
_OUTPUT = Path("bench/data/shell")
_NIGHT, _DUMPALL, _SHELL = "the night", "pg_dumpall > /dev/null", "the shell people run"


def measure(place: Place, laps: int) -> list[Figure]:
    """Figures 1, 2 and 3 of the issue's table, from the same laps."""
    shell(DUMPALL, place.environment)  # or the first to run would read from the disk what the others find in memory
    sizes: list[float] = []
    found = interleaved(
        {
            _DUMPALL: lambda: shell(DUMPALL, place.environment),
            _NIGHT: lambda: _night(place),
            _SHELL: lambda: _usual(place, sizes),
        },
        laps,
    )
    report(f"stored: {_size(place.store):,} bytes, by the shell: {_size(_OUTPUT):,}")
    shutil.rmtree(_OUTPUT, ignore_errors=True)
    return [
        _times(found, _DUMPALL, DUMPALL, must=2.0, aim=1.25),
        _times(found, _SHELL, f"bash -c {shlex.quote(SHELL)}", must=0.5, aim=0.35),
        _sizes(sizes),
    ]


def _night(place: Place) -> float:
    place.clear_store()
    return run(BACKUP.split(), place.environment)


def _usual(place: Place, sizes: list[float]) -> float:
    """The shell's turn; the night's store is still there, so both sizes are of the same lap."""
    shutil.rmtree(_OUTPUT, ignore_errors=True)
    seconds = shell(SHELL, place.environment)
    sizes.append(_size(place.store) / _size(_OUTPUT))
    return seconds


def _times(found: Laps, other: str, command: str, *, must: float, aim: float) -> Figure:
    return Figure(
        f"whole night ÷ {other}",
        found.ratio(_NIGHT, other),
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


def measure_memory(place: Place, label: str) -> list[Figure]:
    """Figure 5: the night's peak, then a restore's."""
    place.clear_store()
    night = peak_of(BACKUP.split(), place.environment)
    report(f"memory of the night at {label}: RSS {night.rss / 1e6:.0f} MB, PSS {night.pss / 1e6:.0f} MB")
    commands = (f".venv/bin/python -m bench --only memory{' --large' if label == '10 GB' else ''}",)
    return [Figure(f"peak memory of the night at {label}", night.rss / 1e6, "MB", "<", 200, None, commands)]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
