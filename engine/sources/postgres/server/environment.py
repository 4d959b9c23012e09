"""libpq's variables: nobody sees those of a shell, neither a client program nor libpq in this process.

They lead to another server (PGHOSTADDR, PGSERVICE), refuse one (PGREQUIREAUTH), or change how values are read and
printed (PGTZ, PGDATESTYLE and PGGEQO go with the request for a session and win over its options).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from engine.hosts.base import Completed
from engine.hosts.machine import Local

_LIBPQ = tuple(
    "PG" + name
    for name in (
        *(
            "APPNAME",
            "CHANNELBINDING",
            "CLIENTENCODING",
            "CONNECT_TIMEOUT",
            "DATABASE",
            "DATESTYLE",
            "GEQO",
            "GSSDELEGATION",
        ),
        *(
            "GSSENCMODE",
            "GSSLIB",
            "HOST",
            "HOSTADDR",
            "KRBSRVNAME",
            "LOADBALANCEHOSTS",
            "LOCALEDIR",
            "MAXPROTOCOLVERSION",
        ),
        *("MINPROTOCOLVERSION", "OPTIONS", "PASSFILE", "PASSWORD", "PORT", "REQUIREAUTH", "REQUIREPEER", "REQUIRESSL"),
        *("SERVICE", "SERVICEFILE", "SSLCERT", "SSLCERTMODE", "SSLCOMPRESSION", "SSLCRL", "SSLCRLDIR", "SSLKEY"),
        *(
            "SSLKEYLOGFILE",
            "SSLMAXPROTOCOLVERSION",
            "SSLMINPROTOCOLVERSION",
            "SSLMODE",
            "SSLNEGOTIATION",
            "SSLROOTCERT",
        ),
        *("SSLSNI", "SYSCONFDIR", "TARGETSESSIONATTRS", "TZ", "USER"),
    )
)
"""libpq's documentation, section "Environment Variables", of all versions to 18."""
_MAY_BE_A_SECRET = "PGPASSWORD"  # noqa: S105 - a variable's name
"""`env:PGPASSWORD` may be where the configuration has a password from; a session is always given its own."""


def forget_shell() -> None:
    """Take libpq's variables out of this process: nobody here reads them but libpq, which cannot be told not to."""
    for name in _LIBPQ:
        if name != _MAY_BE_A_SECRET:
            os.environ.pop(name, None)


def hidden() -> dict[str, str | None]:
    """What a host is told so that a program sees none of libpq's variables, neither ours nor that host's own."""
    return dict.fromkeys((*_LIBPQ, *(name for name in os.environ if name.startswith("PG"))))


def tool_environment(**extra: str) -> dict[str, str]:
    """The environment of a client program on this machine: ours without libpq's variables, messages in English."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8", **extra}


def run_here(
    argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None, stdin: bytes | None = None
) -> Completed:
    """A client program on this machine, to its end.

    Raises:
        TransientFailure: it took longer than `timeout` seconds.
        OperationFailed: it cannot be started.
    """
    return Local().run(argv, env=hidden() | dict(env or {}), timeout=timeout, stdin=stdin)
