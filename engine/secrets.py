"""Secrets by reference: a setting says where a secret is, never what it is.

`env:NAME` reads an environment variable, `file:PATH` a file, `prefect:BLOCK` a Prefect Secret block. The
last is only known inside Prefect, which plugs its resolver in with `register_resolver`; a shell on the
worst day cannot read it. `aws:NAME` is a secret of AWS Secrets Manager (`aws:NAME#KEY`: a value of a JSON
object), and `rds-iam:USER@HOST:PORT` a password that RDS makes of IAM credentials. What editors and
shells put around a secret is no part of it, wherever it comes from: final line ends (CR, LF) and UTF-8's
byte order mark are dropped.

An empty secret is refused: it is a file that was never filled, and would count as a password of no
letters or as a digest key that everybody knows. So is a NUL byte, at which a C library would stop.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from engine.aws_secrets import from_secrets_manager, iam_token, is_iam
from engine.errors import ConfigurationError

Resolver = Callable[[str], str]

_log = logging.getLogger(__name__)
_warned: set[str] = set()


_SCHEMES = ("env", "file", "prefect", "aws", "rds-iam")


def _checked(reference: str) -> str:
    scheme, separator, rest = reference.partition(":")
    if not separator or not rest or scheme not in _SCHEMES or (scheme == "rds-iam" and not is_iam(rest)):
        # The value itself is never repeated: somebody may have pasted the secret here.
        raise ValueError(
            "a secret is given by reference: env:NAME, file:/path, prefect:block-name, aws:name or rds-iam:user@host:port"
        )
    return reference


SecretReference = Annotated[str, AfterValidator(_checked)]
"""Where a secret is: `env:NAME`, `file:/path`, `prefect:block-name`, `aws:name[#key]` or `rds-iam:user@host:port`."""


def _from_environment(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise ConfigurationError(
            f"The secret env:{name} is not set on this host; export {name} and start again."
        ) from None


def _from_file(path: str) -> str:
    try:
        place = Path(path).expanduser()
        text = place.read_bytes().decode("utf8")  # read_text would take a CR for a line end
        _warn_when_open(place)
        return text
    except PermissionError:
        raise ConfigurationError(
            f"The secret file:{path} is not to be read by this user: permission denied; give the file to it, or run as "
            "the user that may."
        ) from None
    except (OSError, UnicodeDecodeError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else _not_read(error)
        raise ConfigurationError(
            f"The secret file:{path} cannot be read on this host: {reason}; "
            "put the file there (mode 0600) or run where it is."
        ) from None


def _not_read(error: Exception) -> str:
    if not isinstance(error, UnicodeDecodeError):
        return "no such path"
    utf16 = error.object.startswith((b"\xff\xfe", b"\xfe\xff"))
    return "it is UTF-16, as some editors save; save it as UTF-8" if utf16 else "it is not text (UTF-8)"


def _warn_when_open(place: Path) -> None:
    """Say once that others may read it; not refused, since containers mount their secrets so."""
    mode = place.stat().st_mode
    if stat.S_ISREG(mode) and mode & stat.S_IROTH and str(place) not in _warned:
        _warned.add(str(place))
        _log.warning("Every user of this host may read the secret file:%s; chmod 600 it.", place)


def _unknown_here(name: str) -> str:
    raise ConfigurationError(
        f"The secret prefect:{name} can only be read inside a Prefect run; "
        "give it as env: or file: to use it from a shell."
    )


_resolvers: dict[str, Resolver] = {
    "env": _from_environment,
    "file": _from_file,
    "prefect": _unknown_here,
    "aws": from_secrets_manager,
    "rds-iam": iam_token,
}


def register_resolver(scheme: str, resolver: Resolver) -> None:
    """Plug in what reads references of `scheme` (Prefect's tasks do so for `prefect`)."""
    _resolvers[scheme] = resolver


def resolve(reference: str) -> str:
    """The secret itself.

    Raises:
        ConfigurationError: it is not there, empty, or not readable on this host.
        TransientFailure: it is elsewhere, and that does not answer.
    """
    scheme, _, rest = reference.partition(":")
    secret = _resolvers[scheme](rest).removeprefix("\ufeff").rstrip("\r\n")
    if not secret or "\0" in secret:
        wrong = "holds a NUL byte" if secret else "is empty"
        raise ConfigurationError(f"The secret {reference} {wrong}; put the secret there, or leave the setting out.")
    return secret
