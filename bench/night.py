"""The whole night against `pg_dumpall` and against the shell people run: time, size and memory."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

from bench.figures import Figure
from bench.memory import peak_of
from bench.place import Place
from bench.timing import interleaved, run, shell, tell

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


def measure(place: Place, laps: int) -> list[Figure]:
    """Figures 1, 2 and 3 of the issue's table, from the same laps."""
    sizes: list[float] = []

    def night() -> float:
        place.clear_store()
        return run([*BACKUP.split()], place.environment)

    def usual() -> float:
        shutil.rmtree(_OUTPUT, ignore_errors=True)
        seconds = shell(SHELL, place.environment)
        sizes.append(_size(place.store) / _size(_OUTPUT))
        return seconds

    found = interleaved(
        {
            "pg_dumpall": lambda: shell(DUMPALL, place.environment),
            "the night": night,
            "the usual shell": usual,
        },
        laps,
    )
    tell(f"stored: {_size(place.store):,} bytes, by the shell: {_size(_OUTPUT):,}")
    shutil.rmtree(_OUTPUT, ignore_errors=True)
    return [
        Figure(
            "whole night ÷ pg_dumpall > /dev/null",
            found.ratio("the night", "pg_dumpall"),
            "",
            "<=",
            2.0,
            1.25,
            (START, f"time {DUMPALL}", f"time {BACKUP}", STOP),
        ),
        Figure(
            "whole night ÷ the shell people run",
            found.ratio("the night", "the usual shell"),
            "",
            "<=",
            0.5,
            0.35,
            (START, f"time bash -c {_quoted(SHELL)}", f"time {BACKUP}", STOP),
        ),
        Figure(
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
        ),
    ]


def measure_memory(place: Place, label: str) -> list[Figure]:
    """Figure 5: the night's peak, then a restore's."""
    place.clear_store()
    night = peak_of(BACKUP.split(), place.environment)
    tell(f"memory of the night at {label}: RSS {night.rss / 1e6:.0f} MB, PSS {night.pss / 1e6:.0f} MB")
    commands = (".venv/bin/python -m bench --only memory",)
    return [Figure(f"peak memory of the night at {label}", night.rss / 1e6, "MB", "<", 200, None, commands)]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _quoted(script: str) -> str:
    return "'" + script.replace("'", "'\\''") + "'"
