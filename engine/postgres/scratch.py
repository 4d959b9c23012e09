"""A throw-away server: nobody can connect from outside, nothing is kept, and it is always removed.

Its folder's name says whose it is (pid and start time), so there is no moment without an owner, and
the owner keeps the folder locked. When the owner is killed, a small watcher ends the server within
a second; if that was killed too, the next scratch server does.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from engine.errors import ConfigurationError, CouldNotVerify, OperationFailed
from engine.hosts.folder_lock import lock_folder
from engine.hosts.local import account, private_folder, temporary_base
from engine.hosts.processes import ProcessIdentity, arguments, running_pids
from engine.postgres.embedded import server_programs
from engine.postgres.instance import Instance

_PREFIX = "platform-ops-scratch-"
_NAME = re.compile(rf"{_PREFIX}(\d+)-(\d+)-\w+")
_WATCH_SECONDS = 0.5
_log = logging.getLogger(__name__)

SETTINGS: Mapping[str, str] = {
    # Speed: what is lost in a crash is thrown away anyway.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "1h",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "256MB",
    "autovacuum": "off",
    "jit": "off",
    # A restored subscription must not connect to anything, a large restore needs many locks.
    "max_logical_replication_workers": "0",
    "max_locks_per_transaction": "1024",
    "max_connections": "60",
    # In the data folder, so that nothing stays in /dev/shm after a kill -9.
    "dynamic_shared_memory_type": "mmap",
    # The log is quoted in messages: no statement and no row in it.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
}


@contextmanager
def scratch_server(
    major: int,
    *,
    superuser: str = "postgres",
    base: Path | None = None,
    settings: Mapping[str, str] | None = None,
    encoding: str = "UTF8",
    locale: str = "C.UTF-8",
) -> Iterator[Instance]:
    """A new, empty server of this major in `base` ($TMPDIR, else /var/tmp); removed at the end.

    Raises:
        CouldNotVerify: this host has no such server, or it did not start (with the log's last lines).
        ConfigurationError: `base` cannot be used.
    """
    programs = server_programs(major)
    where = base.resolve() if base else temporary_base()
    sweep_scratch(where)
    with _folder(where) as folder:
        server = Instance(folder, programs, superuser=superuser, settings={**SETTINGS, **(settings or {})})
        try:
            try:
                server.create(encoding=encoding, locale=locale, sync=False)
                server.start()
            except OperationFailed as error:
                raise CouldNotVerify(
                    f"No scratch server of PostgreSQL {major} could start: {error}"
                ) from None
            yield server
        finally:
            with _told_only():
                server.stop(immediate=True)


def sweep_scratch(base: Path | None = None) -> int:
    """End and remove the scratch servers whose owner is dead; how many there were. One that stays is told in the log."""
    where, swept = base.resolve() if base else temporary_base(), 0
    for folder in sorted(where.glob(f"{_PREFIX}*")):
        with _told_only():
            swept += _swept(folder)
    return swept


@contextmanager
def _told_only() -> Iterator[None]:
    """What cannot be cleaned up does not change what was found: the log says it, the next scratch server tries again."""
    try:
        yield
    except OperationFailed as error:
        _log.warning("%s", error)


@contextmanager
def _folder(base: Path) -> Iterator[Path]:
    owner = ProcessIdentity.current()
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{owner.pid}-{owner.started}-", dir=base))
    except OSError as error:
        raise ConfigurationError(
            f"No scratch folder can be made in {base}: {error.strerror}; set TMPDIR to a folder that has room."
        ) from None
    lock, watcher = -1, None
    try:
        lock = lock_folder(folder)
        private_folder(folder)
        watcher = _watcher(folder)
        yield folder
    finally:
        with _told_only():
            _remove(folder)
        if watcher:
            watcher.terminate()
            watcher.wait()
        if lock >= 0:
            os.close(lock)


def _owner(folder: Path) -> ProcessIdentity | None:
    match = _NAME.fullmatch(folder.name)
    return ProcessIdentity(int(match[1]), int(match[2])) if match else None


def _swept(folder: Path) -> bool:
    owner = _owner(folder)
    if owner is None or owner.alive():
        return False
    try:
        # Somebody else may make a folder of that name in /var/tmp: only our own are touched.
        if folder.lstat().st_uid not in (os.geteuid(), account()[0]):
            return False
        lock = lock_folder(folder)
    except OSError:
        return False
    if lock < 0:  # its owner runs in another container, or another sweep is at it
        return False
    try:
        _remove(folder)
    finally:
        os.close(lock)
    return True


def _remove(folder: Path) -> None:
    for _ in range(10):
        _end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.2)
    raise OperationFailed(f"The scratch folder {folder} could not be removed; remove it by hand.")


def _end_processes(folder: Path) -> None:
    for identity in _processes(folder):
        identity.end(10.0, first=signal.SIGQUIT)


def _processes(folder: Path) -> Iterator[ProcessIdentity]:
    """The servers (and initdb) whose data folder, `-D`, lies in this folder."""
    for pid in running_pids():
        identity, line = ProcessIdentity.of(pid), arguments(pid)
        data = [value for option, value in pairwise(line) if option == "-D"]
        if identity and data and folder.name in Path(data[0]).parts and identity.alive():
            yield identity


def _watcher(folder: Path) -> subprocess.Popen[bytes]:
    """A process that outlives this one only to clean up after it."""
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if key in os.environ}
    return subprocess.Popen(
        [sys.executable, "-S", "-m", __name__, str(folder)],
        cwd=Path(__file__).parents[2],
        env=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def watch(folder: Path) -> None:
    """Wait for the end of the folder's owner; then end what runs in the folder and remove it."""
    owner = _owner(folder)
    while owner and owner.alive():
        time.sleep(_WATCH_SECONDS)
    while folder.exists() and not _swept(folder):
        time.sleep(_WATCH_SECONDS)
    _end_processes(folder)  # also where somebody else has removed the folder


if __name__ == "__main__":
    with suppress(OperationFailed):
        watch(Path(sys.argv[1]))
