"""Secrets by reference: a setting says where a secret is, never what it is.

`env:NAME` reads an environment variable, `file:PATH` a file (a final newline is dropped),
`prefect:BLOCK` a Prefect Secret block. The last is only known inside Prefect, which plugs its
resolver in with `register_resolver`; a shell on the worst day cannot read it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from engine.errors import ConfigurationError

Resolver = Callable[[str], str]


def _checked(reference: str) -> str:
    scheme, separator, rest = reference.partition(":")
    if not separator or not rest or scheme not in ("env", "file", "prefect"):
        # The value itself is never repeated: somebody may have pasted the secret here.
        raise ValueError("a secret is given by reference: env:NAME, file:/path or prefect:block-name")
    return reference


SecretReference = Annotated[str, AfterValidator(_checked)]
"""Where a secret is: `env:NAME`, `file:/path` or `prefect:block-name`."""


def _from_environment(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise ConfigurationError(
            f"The secret env:{name} is not set on this host; export {name} and start again."
        ) from None


def _from_file(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(
            f"The secret file:{path} cannot be read on this host: {reason}; "
            "put the file there (mode 0600) or run where it is."
        ) from None


def _unknown_here(name: str) -> str:
    raise ConfigurationError(
        f"The secret prefect:{name} can only be read inside a Prefect run; "
        "give it as env: or file: to use it from a shell."
    )


_resolvers: dict[str, Resolver] = {
    "env": _from_environment,
    "file": _from_file,
    "prefect": _unknown_here,
}


def register_resolver(scheme: str, resolver: Resolver) -> None:
    """Plug in what reads references of `scheme` (Prefect's tasks do so for `prefect`)."""
    _resolvers[scheme] = resolver


def resolve(reference: str) -> str:
    """The secret itself.

    Raises:
        ConfigurationError: it is not there, or not readable on this host.
    """
    scheme, _, rest = reference.partition(":")
    return _resolvers[scheme](rest)
