"""A PostgreSQL server as the engine uses it: how to connect, and how client programs do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from engine.config.secrets import resolve
from engine.config.settings import ServerSettings
from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError, TransientFailure
from engine.streams.pipeline import tool_environment

FIXED_SETTINGS = {
    # Equal values print alike under these, whatever the database or the role has set.
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "lc_messages": "C",
    "search_path": "",
    "row_security": "off",
    "quote_all_identifiers": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
    "standard_conforming_strings": "on",
    "role": "none",
}
_TRANSIENT = (
    "starting up",
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


@dataclass(frozen=True)
class Server:
    """A server by its configured name. `extra` are further libpq parameters (a scratch server's)."""

    name: str
    settings: ServerSettings
    extra: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def address(self) -> str:
        return f"{self.name} ({self.settings.host}:{self.settings.port})"

    def _password(self) -> str | None:
        return None if self.settings.password is None else resolve(self.settings.password)

    def connect(
        self, database: str | None = None, *, application: str = "platform-ops", autocommit: bool = True
    ) -> psycopg.Connection[TupleRow]:
        """A session with `FIXED_SETTINGS`; database None is the maintenance database.

        Raises:
            ConfigurationError: the server refuses us (password, database, role).
            TransientFailure: it cannot be reached or is not ready.
        """
        s = self.settings
        options = " ".join(f"-c {key}={_escaped(value)}" for key, value in FIXED_SETTINGS.items())
        parameters: dict[str, Any] = {
            "host": s.host,
            "port": s.port,
            "user": s.user,
            "password": self._password(),
            "dbname": database or s.maintenance_database,
            "sslmode": s.sslmode,
            "sslrootcert": s.sslrootcert or None,
            "application_name": application,
            "connect_timeout": 15,
            "options": options,
            "keepalives_idle": 30,
            "client_encoding": "UTF8",
            **self.extra,
        }
        try:
            return psycopg.connect(autocommit=autocommit, **parameters)
        except psycopg.OperationalError as error:
            raise self._refused(database, str(error)) from None

    def _refused(self, database: str | None, text: str) -> PlatformOpsError:
        reason = " ".join(text.split()).removeprefix("connection failed: ")[:300]
        where = f"database {database!r} of {self.address}" if database else self.address
        if any(sign in text.lower() for sign in _TRANSIENT):
            return TransientFailure(f"Cannot reach {where}: {reason}; check that it runs and try again.")
        return ConfigurationError(
            f"{where} refuses user {self.settings.user!r}: {reason}; correct [servers.{self.name}]."
        )

    def tool_environment(self, application: str) -> dict[str, str]:
        """libpq's variables for a client program; the password is nowhere else."""
        s = self.settings
        values = {
            "PGHOST": s.host,
            "PGPORT": str(s.port),
            "PGUSER": s.user,
            "PGSSLMODE": s.sslmode,
            "PGSSLROOTCERT": s.sslrootcert,
            "PGPASSWORD": self._password() or "",
            "PGAPPNAME": application,
            "PGCONNECT_TIMEOUT": "15",
            "PGCLIENTENCODING": "UTF8",
        }
        return tool_environment(**{key: value for key, value in values.items() if value})


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def failed(what: str, error: psycopg.Error) -> PlatformOpsError:
    """A database error as one of ours: `what` says what was being done and where."""
    text = " ".join(str(error).split("\n", 1)[0].split())[:300]
    if isinstance(error, (psycopg.OperationalError, psycopg.errors.LockNotAvailable)):
        return TransientFailure(f"{what}: {text}.")
    return OperationFailed(f"{what}: {text}.")
