"""`python -m bench` (`make bench`): measure, print a table, write bench/results.json."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from bench import (
    backup_run,
    cluster_deploys,
    command_line,
    deploys,
    figures,
    flow_run,
    realms,
    restores,
    small_databases,
    stored_sets,
    truncates,
    volumes,
)
from bench.figures import Figure
from bench.testbed import DATA, SCALE, Testbed, running
from bench.timing import MeasureError, report
from engine.errors import PlatformOpsError

NAMES = (
    "help",
    "backup",
    "memory",
    "restore",
    "flow",
    "databases",
    "sets",
    "truncates",
    "deploys",
    "cluster",
    "realms",
    "volumes",
)
QUICK_SCALE = 0.2
LARGE_SCALE = 42.0


class TestbedOf(Protocol):
    def __call__(self, scale: float, kind: str = "mixed") -> Testbed: ...


RESULTS = Path(__file__).parent / "results.json"


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        found = list(_measured(options))
    except (MeasureError, PlatformOpsError) as error:
        report(f"bench: {error}")
        return 1
    results = DATA / "quick.json" if options.quick else RESULTS
    figures.save(results, found)
    print(figures.table(found), end="")
    report(f"written to {results}")
    return int(any(each.holds(each.must) is False for each in found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--scale", type=float, help=f"factor of the data (default {SCALE:g}: 1 GB of SQL)")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="FIGURE", default=NAMES, help=", ".join(NAMES))
    parser.add_argument("--laps", type=int, default=3, help="how often each contestant runs (default 3)")
    parser.add_argument("--quick", action="store_true", help="small data, one lap: to try the bench itself")
    parser.add_argument("--large", action="store_true", help="10 GB of data and 1,000 databases too (an hour)")
    parser.add_argument("--keep", action="store_true", help="keep the data in bench/data/ for the next run")
    return parser


def _measured(options: argparse.Namespace) -> Iterator[Figure]:
    laps = 1 if options.quick else options.laps
    scale = options.scale or (QUICK_SCALE if options.quick else SCALE)
    counts = (5, 20) if options.quick else (100, 1000) if options.large else (20, 100)
    sets = 1_000 if options.quick else 100_000
    with _places(options.keep) as testbed_of:
        work: dict[str, Callable[[], list[Figure]]] = {
            "help": lambda: command_line.measure(laps),
            "backup": lambda: backup_run.measure(testbed_of(scale), laps),
            "restore": lambda: restores.measure(testbed_of(scale, "tables"), laps),
            "memory": lambda: _memory(testbed_of(scale), "1 GB" if scale == SCALE else f"scale {scale:g}"),
            "flow": lambda: flow_run.measure(testbed_of(QUICK_SCALE), laps),
            "databases": lambda: small_databases.measure(counts),
            "sets": lambda: stored_sets.measure(sets, laps),
            "truncates": lambda: truncates.measure(5 if options.quick else 20),
            "realms": lambda: realms.measure(500 if options.quick else 10_000, laps),
            "volumes": lambda: volumes.measure(
                1 if options.quick else 10 if options.large else 4, 1_000 if options.quick else 100_000, laps
            ),
            "cluster": lambda: cluster_deploys.measure(laps),
            "deploys": lambda: list(deploys.measure(options.quick)),
        }
        for name in NAMES:
            if name in options.only:
                report(f"== {name}")
                yield from work[name]()
        if "volumes" in options.only and not options.quick:
            for gigabytes in (1, 10) if options.large else (1,):
                report(f"== volumes, memory at {gigabytes} GB")
                yield from volumes.measure_memory(gigabytes)
        if options.large and "memory" in options.only:
            report("== memory, 10 GB")
            yield from _memory(testbed_of(LARGE_SCALE), "10 GB")


def _memory(testbed: Testbed, label: str) -> list[Figure]:
    return [*backup_run.measure_memory(testbed, label), *restores.measure_memory(testbed, label)]


@contextmanager
def _places(keep: bool) -> Iterator[TestbedOf]:
    """Gives the place of a scale, made and started when it is first asked for; one server runs at a time."""
    with ExitStack() as stack:
        current: list[Testbed] = []

        def testbed_of(scale: float, kind: str = "mixed") -> Testbed:
            wanted = Testbed(scale, kind)
            if current != [wanted]:
                stack.close()
                current[:] = [stack.enter_context(running(wanted, keep=keep))]
            return current[0]

        yield testbed_of


if __name__ == "__main__":
    sys.exit(main())
