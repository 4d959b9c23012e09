"""libpq's variables: a client program sees those it is given, never those of the operator's shell."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from engine.hosts.base import Done
from engine.hosts.machine import Local


def hidden() -> dict[str, str | None]:
    """What a host is told so that a program sees none of libpq's variables of ours."""
    return {name: None for name in os.environ if name.startswith("PG")}


def tool_environment(**extra: str) -> dict[str, str]:
    """The environment of a client program on this machine: ours without libpq's variables, messages in English."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8", **extra}


def run_here(
    argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, stdin: bytes | None = None
) -> Done:
    """A client program on this machine, to its end.

    Raises:
        TransientFailure: it took longer than `timeout` seconds.
        OperationFailed: it cannot be started.
    """
    return Local().run(argv, env=hidden() | dict(env or {}), timeout=timeout, stdin=stdin)
