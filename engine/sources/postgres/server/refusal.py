"""What libpq says when it gets no session, as a sentence with what to do."""

from __future__ import annotations

from engine.errors import ConfigurationError, PlatformOpsError, TransientFailure

_TRANSIENT = (
    "failed to resolve host",
    "could not translate host name",
    "starting up",
    "not yet accepting connections",
    "shutting down",
    "in recovery mode",
    "too many clients",
    "remaining connection slots",
    "connection refused",
    "timeout expired",
    "connection timeout",
    "no such file or directory",
    "could not receive",
    "closed the connection unexpectedly",
    "network is unreachable",
    "no route to host",
)
_ADVICE = ("Is the server running", "Either provide the file", "- Multiple connection attempts", "- host:")
_NO_POSTGRES = ("invalid response to ssl negotiation", "expected authentication request from server")
_POOLER = ("unsupported startup parameter",)
_TLS = ("certificate", "ssl error", "does not support ssl", "ssl connection has been closed")


def refused(
    server: str, address: str, user: str, database: str | None, text: str, remedy: str = ""
) -> PlatformOpsError:
    """Why no session came about, told for `server` of the configuration; `text` is what libpq says.

    `remedy`: what to do, where the server is in no configuration.
    """
    reason, low = _reason(text), text.lower()
    correct = remedy or f"correct [servers.{server}]"
    where = f"Database {database!r} of {address}" if database else address
    if any(sign in low for sign in _TRANSIENT):
        return TransientFailure(f"{where} does not answer: {reason}; check that it runs and try again.")
    if any(sign in low for sign in _NO_POSTGRES):
        return ConfigurationError(
            f"What answers at {where} is no PostgreSQL server; correct host and port in [servers.{server}]."
        )
    if any(sign in low for sign in _POOLER):
        return pooler(where)
    if any(sign in low for sign in _TLS):
        return ConfigurationError(
            f"No TLS connection to {where}: {reason}; correct sslmode and sslrootcert in [servers.{server}], or its "
            "certificate."
        )
    return ConfigurationError(f"{where} refuses user {user!r}: {reason}; {correct}.")


def pooler(where: str) -> ConfigurationError:
    """A pooler hands out sessions of its own: no lock, snapshot or setting of ours would hold."""
    return ConfigurationError(
        f"What answers at {where} is a connection pooler; give the host and port of the PostgreSQL server itself."
    )


def _reason(text: str) -> str:
    """What libpq says, without its advice (which is not about our settings) and without what it says twice."""
    lines = (line.strip().removeprefix("connection failed: ") for line in text.splitlines())
    shown = [line for line in lines if line and not line.startswith(_ADVICE)]
    return " ".join(dict.fromkeys(shown)).rstrip(".")[:300]
