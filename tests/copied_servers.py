"""New servers of the tests' own processes are copies of one that initdb made: a tenth of its work, three hundred times.

A copy gets a system identifier of its own, by which the product tells servers apart. What the command starts in a process
of its own runs initdb.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from engine.sources.postgres.programs.account import private_folder, privileges
from engine.sources.postgres.scratch import instance
from engine.sources.postgres.scratch.initdb import ENVIRONMENT, initialise
from engine.streams.spool import temporary_base

Initialise = Callable[[Path, Path, list[str], str | None], None]


@contextmanager
def copied_servers() -> Iterator[None]:
    """While it is open."""
    base = Path(mkdtemp(prefix="po-test-servers-", dir=temporary_base()))
    base.chmod(0o711)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(instance, "initialise", _copying(base, initialise))
            yield
    finally:
        rmtree(base)


def _copying(base: Path, initdb: Initialise) -> Initialise:
    made: dict[tuple[str, ...], Path] = {}

    def copy(programs: Path, data: Path, options: list[str], password: str | None) -> None:
        if password is not None:
            initdb(programs, data, options, password)
            return
        kind = (str(programs), *options)
        if kind not in made:
            folder = base / str(len(made))
            private_folder(folder)
            initdb(programs, folder / "data", options, None)
            made[kind] = folder / "data"
        rmtree(data, ignore_errors=True)
        subprocess.run(["cp", "-a", made[kind], data], check=True, capture_output=True)
        with (data / "global" / "pg_control").open("r+b") as control:
            control.write(secrets.token_bytes(7) + b"\0")  # the system identifier, first of all (pg_control.h)
        # What it says is taken with a checksum that is wrong, and written with the right one (pg_resetwal.c).
        resetwal = [str(programs / "pg_resetwal"), "--force", "-D", str(data)]
        subprocess.run(resetwal, env=ENVIRONMENT, cwd=data, check=True, capture_output=True, **privileges())

    return copy
