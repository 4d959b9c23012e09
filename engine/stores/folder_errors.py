"""What the operating system says about a store's folder, as one sentence each."""

from __future__ import annotations

import errno
from pathlib import Path

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError, TransientFailure

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_PASSING = (
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EIO,
    errno.EHOSTDOWN,
    errno.EINTR,
    errno.EMFILE,
    errno.ENFILE,
)
LINK = (errno.ELOOP, errno.ENOTDIR)
"""Something else lies where a folder belongs."""


def failure(error: OSError, name: str, root: Path, doing: str) -> PlatformOpsError:
    """`error` as one sentence. `doing` says what failed, for example `writing x/y`."""
    where = f"store {name!r} at {root}"
    if error.errno in _FULL:
        return OperationFailed(
            f"The disk of {where} is full: {doing} failed and left nothing; "
            "free space there or keep less in it, then start again."
        )
    if error.errno in _FORBIDDEN:
        return ConfigurationError(
            f"{doing} in {where} is not allowed ({error.strerror}); "
            "give the user who runs this read and write access to that folder."
        )
    if error.errno == errno.ENOENT and not root.is_dir():
        how = f"create {root.parent} (mode 0700)" if not root.parent.is_dir() else "choose another path"
        return ConfigurationError(f"The folder of {where} is not there; mount its disk or {how}.")
    if error.errno == errno.ENOTDIR and not root.is_dir():
        return ConfigurationError(
            f"There is no folder for {where}: a file is in its way; correct its path or move the file."
        )
    if error.errno in LINK:
        return OperationFailed(link_met(doing, where))
    kind = TransientFailure if error.errno in _PASSING else OperationFailed
    return kind(f"{doing} in {where} failed: {error.strerror}; look at that disk, then start again.")


def link_met(doing: str, where: str) -> str:
    """The sentence for what `LINK` says."""
    return (
        f"{doing} in {where} met a file or symbolic link where a folder belongs, and stores follow none; "
        "look at who put it there and remove it."
    )
