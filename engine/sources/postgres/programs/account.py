"""Local processes without root's rights: PostgreSQL refuses root, and what it restores may run code."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import TypedDict

from engine.errors import ConfigurationError

ACCOUNTS = ("nobody", "postgres")
"""Whose rights a server gets when root starts it: the first of these that exists."""


class Privileges(TypedDict, total=False):
    """Keyword arguments of `subprocess.Popen`."""

    user: int
    group: int
    extra_groups: list[int]
    umask: int


def account() -> tuple[int, int]:
    """User and group id a server runs with: this user's, or for root those of an ordinary account.

    Raises:
        ConfigurationError: root, and none of the accounts exists.
    """
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise ConfigurationError(
        f"Root cannot run PostgreSQL and this host has no account {' or '.join(ACCOUNTS)}; "
        "add one or start as an ordinary user."
    )


def privileges() -> Privileges:
    """What to pass to `subprocess` so that a server runs without root's rights; files are private."""
    if os.geteuid() != 0:
        return {"umask": 0o077}
    uid, gid = account()
    return {"user": uid, "group": gid, "extra_groups": [], "umask": 0o077}


def reachable(folder: Path) -> bool:
    """Whether the account a server runs with may pass through all of `folder`'s path."""
    uid, gid = account()
    path = folder.resolve()
    return all(_passes(part, uid, gid) for part in (path, *path.parents))


def _passes(folder: Path, uid: int, gid: int) -> bool:
    try:
        info = folder.stat()
    except OSError:
        return False
    if info.st_uid == uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)


def private_folder(folder: Path) -> None:
    """Make `folder` (and its parents) if need be; it becomes 0700 and the server account's own.

    Raises:
        ConfigurationError: it cannot be made, or another user made it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.is_symlink() or folder.lstat().st_uid not in (os.geteuid(), account()[0]):
            raise PermissionError(1, "it belongs to another user")
        folder.chmod(0o700)
        os.chown(folder, *account())
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be made private for PostgreSQL: {error.strerror}; choose another."
        ) from None
