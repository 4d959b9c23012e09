"""A streaming standby of a server of the tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from engine.sources.postgres.programs.account import private_folder, privileges
from engine.sources.postgres.scratch.instance import Instance


@contextmanager
def standby_of(primary: Instance) -> Iterator[Instance]:
    """A running one, with the primary's settings; it lives in the primary's folder, with which it is swept."""
    standby = Instance(primary.folder / "standby", primary.programs, settings=primary.settings)
    private_folder(standby.folder)
    argv = [str(primary.programs / "pg_basebackup"), "-D", str(standby.data), "-R", "-X", "stream", "-c", "fast"]
    argv += ["-h", str(primary.socket), "-p", str(primary.port), "-U", primary.superuser]
    subprocess.run(argv, check=True, capture_output=True, **privileges())
    standby.start()
    try:
        yield standby
    finally:
        standby.remove()
