"""A private folder for what must be on disk for a while; the next run removes a dead one's.

Its name says whose it is, and its owner keeps it locked: a pid of another container says nothing here.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import ConfigurationError, OperationFailed
from engine.hosts.folder_lock import lock_folder
from engine.hosts.processes import ProcessIdentity

_PREFIX = "platform-ops-spool-"
_TRIES = 5
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def temporary_base() -> Path:
    """Where big temporary folders go: `$TMPDIR`, else /var/tmp (a disk, unlike many a /tmp)."""
    return Path(os.environ.get("TMPDIR") or "/var/tmp").resolve()  # noqa: S108 - private folders are made in it


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
            yield folder
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise OperationFailed(
                f"The disk of temporary files at {base} is full; free space there, or set TMPDIR to another folder."
            ) from None


@contextmanager
def _made(base: Path) -> Iterator[Path]:
    for _ in range(_TRIES):
        with _new(base) as name:
            lock = _owned(Path(name))
            if lock < 0:
                continue
            try:
                yield Path(name)
                return
            finally:
                shutil.rmtree(name, ignore_errors=True)  # while it is locked
                os.close(lock)
    raise OperationFailed(f"Other runs keep removing the temporary folders made in {base}; start again.")


def _owned(folder: Path) -> int:
    """The lock of a folder that was made just now; -1 when a sweep of another container came before it."""
    try:
        lock = lock_folder(folder)
    except FileNotFoundError:
        return -1
    if lock >= 0 and not folder.exists():
        os.close(lock)
        return -1
    return lock


def _new(base: Path) -> tempfile.TemporaryDirectory[str]:
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
    return sum(map(_swept, dead))


def _swept(folder: Path) -> bool:
    try:
        lock = lock_folder(folder)
    except OSError:  # it is gone by now, or is not for us to open
        return False
    if lock < 0:  # its owner runs in another container
        return False
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
    return True


def _owner_lives(folder: Path) -> bool:
    pid, _, rest = folder.name.removeprefix(_PREFIX).partition("-")
    started = rest.partition("-")[0]
    if not pid.isdigit() or not started.isdigit():
        return True  # not one of ours: leave it alone
    return ProcessIdentity(int(pid), int(started)).alive()
