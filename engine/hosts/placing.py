"""A file placed whole: written beside its final name under one that says who writes it, then renamed.

The name's mode is set before anything is in it, so nobody reads a secret who may not. What a killed writer left is
removed by the next one in the same folder: when that process is gone for certain, or has written nothing for a day.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.errors import ConfigurationError, OperationFailed, out_of
from engine.hosts.base import Data, Readable
from engine.hosts.identity import PROCESS, has_abandoned, this_process

PREFIX = ".platform-ops-"
_NAME = re.compile(rf"{re.escape(PREFIX)}(?P<process>{PROCESS})-[0-9a-f]{{16}}")
_PIECE = 1 << 20
_ADVICE = {
    "No such file or directory": "make its folder first",
    "Not a directory": "give a path whose folder is one",
    "Is a directory": "give the path of a file",
    "Permission denied": "let this user write to its folder",
    "Operation not permitted": "let this user write to its folder",
    "Read-only file system": "choose a folder that can be written to",
    "No space left on device": "free space there",
    "Disk quota exceeded": "free space there, or raise the quota",
    "File too large": "raise the limit on a file's size there",
    "File name too long": "choose a shorter name",
}
"""What may be wrong, in the words of the C library, and what to do about it."""


def checked(path: str, mode: int) -> None:
    """Refuse what is no path of a file.

    Raises:
        ConfigurationError: it is not absolute, names a folder, or no file could ever be called so.
    """
    name = path.rpartition("/")[2]
    if not path.startswith("/") or name in ("", ".", "..") or "\0" in path or "\n" in path:
        raise ConfigurationError(f"A file cannot be placed at {path!r}; give its whole path, from / on.")
    if not 0 <= mode <= 0o7777:
        raise ConfigurationError(f"{mode:o} is no mode of a file; give one such as 0600.")


def pieces(data: Data) -> Iterator[bytes]:
    """`data` in pieces; a stream's are at most 1 MiB."""
    if isinstance(data, bytes):
        yield from (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
    elif isinstance(data, Readable):
        while piece := data.read(_PIECE):
            yield piece
    else:
        yield from data


def not_placed(path: str, note: str, why: str) -> OperationFailed:
    """Why a file is not there, in a sentence; `why` is what the system or a tool says, last of all: what a shell reads
    when it starts (.bashrc) may say something before."""
    reason = next((known for line in reversed(why.splitlines()) for known in _ADVICE if known in line), "")
    shown = reason or " ".join(why.split())[-200:] or "no reason was given"
    return OperationFailed(
        f"{path}{note or ' on this machine'} cannot be written: {shown}; {_ADVICE.get(reason, 'look at its folder')}."
    )


def place(path: str, data: Iterable[bytes], mode: int) -> None:
    """Put it there on this machine.

    Raises:
        OperationFailed: it cannot be written there; what was there still is.
    """
    target = Path(path)
    try:
        sweep(target.parent)
        new = target.parent / f"{PREFIX}{this_process()}-{secrets.token_hex(8)}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise out_of(error) or not_placed(path, "", error.strerror or "") from None
    with contextlib.ExitStack() as stack:
        stack.callback(new.unlink, missing_ok=True)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            _filled(file.fileno(), data, mode, path)
        try:
            new.rename(target)
        except OSError as error:
            raise not_placed(path, "", error.strerror or "") from None
    _flushed(target.parent)


def sweep(folder: Path) -> int:
    """Remove what dead writers left in `folder`; how many files. Raises OSError when it cannot be looked at."""
    removed = 0
    for entry in os.scandir(folder):
        match = _NAME.fullmatch(entry.name)
        with contextlib.suppress(OSError):  # another sweep was first, or it is not for us to remove
            if match and has_abandoned(match["process"], entry.stat(follow_symlinks=False).st_mtime):
                Path(entry.path).unlink()
                removed += 1
    return removed


def _filled(file: int, data: Iterable[bytes], mode: int, path: str) -> None:
    """What `data` itself raises is not the file's trouble, and goes on as it is."""
    with _as_not_placed(path):
        os.fchmod(file, mode)
    for piece in data:
        view = memoryview(piece)
        while view:
            with _as_not_placed(path):
                view = view[os.write(file, view) :]
    with _as_not_placed(path):
        os.fsync(file)


@contextlib.contextmanager
def _as_not_placed(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise out_of(error) or not_placed(path, "", error.strerror or "") from None


def _flushed(folder: Path) -> None:
    """So that the new name outlives a power cut, where the file system can be told so."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
