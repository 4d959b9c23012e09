"""The one family of errors. Each says what, where and what to do next; each survives pickling.

The exit codes are the command line's contract (see `platformctl --help`).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

_SPELLED = re.compile(r"(?:%[0-9A-F]{2})+")


def names_as_called(text: str) -> str:
    """Text for people: a name that a key spells `%EC%9A%B4` as it is called. ASCII signs stay as a key has them."""
    return _SPELLED.sub(_called, text) if "%" in text else text


def _called(spelled: re.Match[str]) -> str:
    try:
        name = unquote_to_bytes(spelled[0]).decode("utf8")
    except UnicodeDecodeError:
        return spelled[0]
    return spelled[0] if name.isascii() else name


class PlatformOpsError(Exception):
    """Base of all expected failures. `args` is the whole sentence, so pickling keeps it."""

    exit_code = 1
    retryable = False

    def __str__(self) -> str:
        return names_as_called(super().__str__())


class OperationFailed(PlatformOpsError):
    """The operation was tried and failed; trying again may help when `retryable` is set."""


class TransientFailure(OperationFailed):
    """A failure of the moment (a lost connection, a full queue): the whole step may be retried."""

    retryable = True


class NotFound(OperationFailed):
    """There is no such key in the store. Whoever knows what the key is of says what that means."""


class DamagedSet(OperationFailed):
    """What is stored is not what was stored, or does not restore. Only this is held against a set: a disk that is
    full, a program that was killed or a store that answers oddly tell nothing about it."""


class ItemGone(OperationFailed):
    """A thing is gone since it was listed. Whoever backs up all there is goes on without it."""


class ConfigurationError(PlatformOpsError):
    """Wrong usage or configuration. Nothing was touched and a retry cannot help."""

    exit_code = 2


class CouldNotVerify(PlatformOpsError):
    """Neither good nor bad could be shown, for example because the private key is not on this host."""

    exit_code = 3


class UnsteadyStore(CouldNotVerify):
    """What a store answers differs from one reading to the next: it, or the way to it, damages bytes. Nothing is held
    against what is stored there."""

    retryable = True


class LockedByAnother(PlatformOpsError):
    """Another run holds the lock of this server or store."""

    exit_code = 4


class PartialSuccess(PlatformOpsError):
    """The main copy is good; a second store missed it."""

    exit_code = 5


class OutOfResources(OperationFailed):
    """The process or the machine has no more of what each step needs: it says nothing of what was asked for."""


def out_of(error: object) -> OutOfResources | None:
    """What to say when the process or the machine has no more of what each step needs; None: it is another error."""
    number = errno.ENOMEM if isinstance(error, MemoryError) else error.errno if isinstance(error, OSError) else 0
    limit = _LIMITS.get(number or 0)
    return OutOfResources(f"{limit}, then start again.") if limit else None


_LIMITS = {
    errno.EMFILE: "This process may not open more files; raise its limit (`ulimit -n`, LimitNOFILE= of a unit)",
    errno.ENFILE: "This machine may not open more files; end what holds many, or raise fs.file-max",
    errno.ENOMEM: "This machine has no memory left; end what needs much, or give it more",
}


def failed_in_part(
    failures: Sequence[tuple[str, PlatformOpsError]], what: str, done: int, doing: str
) -> PlatformOpsError | None:
    """What to say when some of several things failed: the first one's sentence; None when none did.

    `failures` are by what people call the thing (`database 'kohub'`). When nothing was `done`, it is the first
    failure's kind.
    """
    if not failures:
        return None
    name, error = failures[0]
    more = f" {len(failures) - 1} more failed." if len(failures) > 1 else ""
    others = f" {done} other{'' if done == 1 else 's'} {doing}." if done else ""
    kind = OperationFailed if done else type(error)
    return kind(f"{name[:1].upper()}{name[1:]} was not {what}: {error}{more}{others}")
