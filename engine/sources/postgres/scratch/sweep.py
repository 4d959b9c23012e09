"""Scratch folders that an owner left: whose each is, and how it is removed with the servers in it."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from engine.errors import OperationFailed
from engine.hosts.folder_lock import lock_folder
from engine.hosts.processes import ProcessIdentity, arguments, running_pids
from engine.sources.postgres.programs.account import account
from engine.streams.spool import temporary_base

PREFIX = "platform-ops-scratch-"
_NAME = re.compile(rf"{PREFIX}(\d+)-(\d+)-\w+")
_log = logging.getLogger(__name__)


def sweep_scratch(base: Path | None = None) -> int:
    """End and remove the scratch servers whose owner is dead; how many there were. One that stays is told in the log."""
    where, swept = base.resolve() if base else temporary_base(), 0
    for folder in sorted(where.glob(f"{PREFIX}*")):
        with logged_only():
            swept += sweep_folder(folder)
    return swept


@contextmanager
def logged_only() -> Iterator[None]:
    """What cannot be cleaned up does not change what was found: the log says it, the next scratch server tries again."""
    try:
        yield
    except OperationFailed as error:
        _log.warning("%s", error)


def owner_of(folder: Path) -> ProcessIdentity | None:
    """Whose it is, by its name."""
    match = _NAME.fullmatch(folder.name)
    return ProcessIdentity(int(match[1]), int(match[2])) if match else None


def sweep_folder(folder: Path) -> bool:
    """End and remove what is in it, if its owner is dead; whether it was."""
    owner = owner_of(folder)
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
        remove_folder(folder)
    finally:
        os.close(lock)
    return True


def remove_folder(folder: Path) -> None:
    """End what runs in it and delete it.

    Raises:
        OperationFailed: it is still there.
    """
    for _ in range(10):
        end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.2)
    raise OperationFailed(f"The scratch folder {folder} could not be removed; remove it by hand.")


def end_processes(folder: Path) -> None:
    """End the servers that run in it."""
    for identity in _processes(folder):
        identity.end(10.0, first=signal.SIGQUIT)


def _processes(folder: Path) -> Iterator[ProcessIdentity]:
    """The servers (and initdb) whose data folder, `-D`, lies in this folder."""
    for pid in running_pids():
        identity, line = ProcessIdentity.of(pid), arguments(pid)
        data = [value for option, value in pairwise(line) if option == "-D"]
        if identity and data and folder.name in Path(data[0]).parts and identity.alive():
            yield identity
