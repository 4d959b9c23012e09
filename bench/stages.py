"""`python -m bench.stages`: where a backup run's time goes, stage by stage, as a table for docs/performance.md.

Each stage runs alone over one database. Processor seconds are told apart from wall seconds, and the
server's from the programs', because in a busy hour stages share the cores: the sum of processor
seconds over the number of cores is the least a backup run can take.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.testbed import SCALE, Testbed, running
from bench.timing import shell
from engine.sources.postgres.proof.take_proof import take_proof
from engine.streams.pack import pack_argv

_WITHOUT_DATA = ("start:", "pg_dumpall")
_TICKS = os.sysconf("SC_CLK_TCK")
_REAPED_SECONDS = 0.3  # until the postmaster has taken note of a session's end


@dataclass(frozen=True)
class Stage:
    """Seconds: on the clock, of the programs' processors, of the server's."""

    name: str
    wall: float
    programs: float
    server: float

    def row(self, megabytes: float) -> str:
        """`megabytes` of archive went through it; nothing did where a start alone is measured."""
        used = self.programs + self.server
        rate = f"{megabytes / used:,.0f}" if used and not self.name.startswith(_WITHOUT_DATA) else ""
        return f"| {self.name} | {self.wall:.2f} | {self.programs:.2f} | {self.server:.2f} | {rate} |"


def stages(testbed: Testbed, database: str, folder: Path) -> Iterator[Stage]:
    """Every stage of a backup run over one database; `folder` takes the pieces."""
    archive, packed = folder / "archive", folder / "packed"
    recipient = testbed.config.read_text(encoding="utf8").partition('recipients = ["')[2].partition('"')[0]
    pack, encrypt = (" ".join(pack_argv(to)) for to in ((), (recipient,)))
    scripts = {
        "pg_dumpall, the yardstick (all databases)": "pg_dumpall > /dev/null",
        "pg_dump --format=custom --compress=0": f"pg_dump -Fc -Z0 {database} > /dev/null",
        "proof of every row": "",
        "the archive as SQL: pg_restore --file=-": f"pg_restore -f - {archive} > /dev/null",
        "gzip (ISA-L, level 1) of one stream": f"{pack} < {archive} > /dev/null",
        "gzip and age of one stream": f"{encrypt} < {archive} > {packed}",
        "SHA-256 of what is stored of it": f"openssl dgst -sha256 {packed} > /dev/null",
        "fsync of what is stored of it": f"cp {packed} {packed}.copy && sync {packed}.copy",
        "what people use: gzip -6 of one stream": f"gzip -6 < {archive} > /dev/null",
        "start: platformctl": "platformctl --help > /dev/null",
        "start: pg_dump of an empty database": "pg_dump -Fc -Z0 empty > /dev/null",
        "start: pg_restore --list": f"pg_restore -l {archive} > /dev/null",
        "start: pg_dumpall --globals-only": "pg_dumpall -g > /dev/null",
    }
    shell(f"pg_dump -Fc -Z0 {database} > {archive}", testbed.environment)
    for name, script in scripts.items():
        yield _measured(testbed, name, script, database)


def _measured(testbed: Testbed, name: str, script: str, database: str) -> Stage:
    own, server = _own_seconds(), _server_seconds(testbed)
    began = time.monotonic()
    if script:
        shell(script, testbed.environment)
    else:
        _prove(testbed, database)
    wall = time.monotonic() - began
    time.sleep(_REAPED_SECONDS)
    return Stage(name, wall, _own_seconds() - own, _server_seconds(testbed) - server)


def _prove(testbed: Testbed, database: str) -> None:
    with testbed.connect(database) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        take_proof(connection, database, "", {})


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _server_seconds(testbed: Testbed) -> float:
    """Processor seconds of all the server's sessions that have ended."""
    process = testbed.server.running()
    assert process is not None, "the server runs"
    fields = Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS


def table(found: Mapping[str, Stage], megabytes: float, database: str) -> str:
    head = (
        f"Over `{database}` ({megabytes:,.0f} MB as an archive), {os.cpu_count()} cores:\n\n"
        "| stage | wall s | programs' CPU s | server's CPU s | MB per CPU s |\n|---|---|---|---|---|\n"
    )
    return head + "".join(f"{stage.row(megabytes)}\n" for stage in found.values())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=__doc__)
    parser.add_argument("--scale", type=float, default=SCALE)
    parser.add_argument("--database", default="kohub", choices=("keycloak", "kohub", "kusthub"))
    options = parser.parse_args(arguments)
    with running(Testbed(options.scale), keep=True) as testbed:
        folder = testbed.folder / "stages"
        folder.mkdir(exist_ok=True)
        found = {stage.name: stage for stage in stages(testbed, options.database, folder)}
        megabytes = (folder / "archive").stat().st_size / 1e6
    print(table(found, megabytes, options.database), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
