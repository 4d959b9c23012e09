"""A throw-away server: nobody can connect from outside, nothing is kept, and it is always removed.

Its folder's name says whose it is (pid and start time), so there is no moment without an owner, and
the owner keeps the folder locked. When the owner is killed, a small watcher ends the server within
a second; if that was killed too, the next scratch server does.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from engine.errors import ConfigurationError, CouldNotVerify, OperationFailed
from engine.hosts.folder_lock import lock_folder
from engine.hosts.processes import ProcessIdentity
from engine.sources.postgres.programs.account import private_folder
from engine.sources.postgres.programs.installed import server_programs
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.sweep import PREFIX, logged_only, remove_folder, sweep_scratch
from engine.sources.postgres.scratch.watcher import start_watcher
from engine.streams.spool import temporary_base

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
                raise CouldNotVerify(f"No scratch server of PostgreSQL {major} could start: {error}") from None
            yield server
        finally:
            with logged_only():
                server.stop(immediate=True)


@contextmanager
def _folder(base: Path) -> Iterator[Path]:
    owner = ProcessIdentity.current()
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{owner.pid}-{owner.started}-", dir=base))
    except OSError as error:
        raise ConfigurationError(
            f"No scratch folder can be made in {base}: {error.strerror}; set TMPDIR to a folder that has room."
        ) from None
    lock, watcher = -1, None
    try:
        lock = lock_folder(folder)
        private_folder(folder)
        watcher = start_watcher(folder)
        yield folder
    finally:
        with logged_only():
            remove_folder(folder)
        if watcher:
            watcher.terminate()
            watcher.wait()
        if lock >= 0:
            os.close(lock)
