"""A private folder for what must be on disk for a while; the next run removes a dead one's."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import ConfigurationError, OperationFailed
from engine.hosts.local import temporary_base
from engine.hosts.processes import ProcessIdentity

_PREFIX = "platform-ops-spool-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def spool_folder(base: Path | None = None) -> Iterator[Path]:
    """An empty folder of mode 0700, removed at the end; its name says whose it is.

    Raises:
        ConfigurationError: none can be made there.
        OperationFailed: its disk became full while the block wrote to it.
    """
    base = base or temporary_base()
    sweep_spools(base)
    with _made(base) as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise OperationFailed(
                f"The disk of temporary files at {base} is full; free space there, or set TMPDIR to another folder."
            ) from None


def _made(base: Path) -> tempfile.TemporaryDirectory[str]:
    me = ProcessIdentity.current()
    try:
        return tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{me.pid}-{me.started}-", dir=base)
    except OSError as error:
        raise ConfigurationError(
            f"No temporary folder can be made in {base}: {error.strerror}; set TMPDIR to a folder that can be written to."
        ) from None


def sweep_spools(base: Path) -> int:
    """Remove the spool folders whose process is gone; how many."""
    dead = [folder for folder in base.glob(f"{_PREFIX}*") if folder.is_dir() and not _owner_lives(folder)]
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
    return len(dead)


def _owner_lives(folder: Path) -> bool:
    pid, _, rest = folder.name.removeprefix(_PREFIX).partition("-")
    started = rest.partition("-")[0]
    if not pid.isdigit() or not started.isdigit():
        return True  # not one of ours: leave it alone
    return ProcessIdentity(int(pid), int(started)).alive()
