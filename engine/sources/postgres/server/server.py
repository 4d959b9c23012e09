"""A PostgreSQL server as the engine uses it: how to connect, and how client programs do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.errors import OperationFailed, PlatformOpsError, TransientFailure
from engine.hosts.base import Environment, Host
from engine.hosts.endpoints import Tunnel
from engine.hosts.opening import open_host
from engine.hosts.settings import HostSettings
from engine.secrets import resolve
from engine.sources.postgres.server.endpoint import endpoint, way
from engine.sources.postgres.server.environment import forget_shell, hidden, tool_environment
from engine.sources.postgres.server.raw_text import take_any_text
from engine.sources.postgres.server.refusal import refused
from engine.sources.postgres.server.session_settings import (
    FIXED_SETTINGS,
    PRIVILEGED,
    RESTORING_SETTINGS,
    SINCE,
    options,
)
from engine.sources.postgres.settings import ServerSettings
from engine.streams.stderr import reason

_IDENTITY = """
SELECT pg_catalog.concat(system_identifier, ' since ', EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()))
  FROM pg_catalog.pg_control_system()
"""
"""A standby has the identifier of its primary, and a start of its own."""
_START = "SELECT pg_catalog.concat('since ', EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()))"
_DENIED = "permission denied to set parameter"


@dataclass(frozen=True)
class Server:
    """A server by its configured name, and the host it runs on. `extra` are further libpq parameters.

    `identity`: the server that every session must reach (see `identified`); '' for any that answers.
    `remedy`: what to do where it refuses us; its place in the configuration, when there is none. `major`: its version,
    0 while that is not known: then programs are asked nothing of which an older server has not heard.
    `refused_settings`: those that its role may not set, as far as a session has shown it; all copies share them.
    """

    name: str
    settings: ServerSettings
    host_settings: HostSettings = field(default_factory=HostSettings)
    extra: dict[str, str] = field(default_factory=dict, hash=False)
    remedy: str = ""
    major: int = 0
    identity: str = ""
    refused_settings: set[str] = field(default_factory=set, compare=False, repr=False)

    @property
    def address(self) -> str:
        return f"{self.name} ({self.settings.host}:{self.settings.port}{self.host.note})"

    @property
    def host(self) -> Host:
        """Where its dumps are made; `settings.host` is the server's address there."""
        return open_host(self.host_settings)

    def _tunnel(self) -> Tunnel:
        """Without a password the server must trust where the connection comes from."""
        s = self.settings
        return self.host.tunnel(endpoint(s.host, s.port), from_there=s.password is None)

    def _password(self) -> str | None:
        return None if self.settings.password is None else resolve(self.settings.password)

    def connect(
        self,
        database: str | None = None,
        *,
        application: str = "platform-ops",
        autocommit: bool = True,
        encoding: str = "UTF8",
        restoring: bool = False,
    ) -> psycopg.Connection[TupleRow]:
        """A session with `FIXED_SETTINGS`, or with those of a restore; database None is the maintenance database.

        `encoding` is the client's.

        Raises:
            ConfigurationError: the server refuses us (password, database, role).
            TransientFailure: it cannot be reached or is not ready, or another server than `identity` answers.
        """
        s, tunnel = self.settings, self._tunnel()
        forget_shell()
        parameters: dict[str, Any] = {
            "user": s.user,
            "password": self._password() or "",
            "dbname": database or s.maintenance_database,
            "sslmode": s.sslmode,
            "sslrootcert": s.sslrootcert or None,
            "application_name": application,
            "connect_timeout": 15,
            "keepalives_idle": 30,
            "client_encoding": encoding,
            **way(s.host, s.port, tunnel),
            **self.extra,
        }
        try:
            connection = self._session(RESTORING_SETTINGS if restoring else FIXED_SETTINGS, parameters)
        except psycopg.OperationalError as error:
            raise tunnel.problem() or refused(
                self.name, self.address, s.user, database, str(error), self.remedy
            ) from None
        take_any_text(connection)
        for timeout, since in SINCE.items():
            if connection.info.server_version // 10000 >= since > self.major:
                connection.execute(sql.SQL("SET {} = 0").format(sql.Identifier(timeout)))
        self._require_identity(connection)
        connection.autocommit = autocommit
        return connection

    def _session(self, settings: Mapping[str, str], parameters: Mapping[str, Any]) -> psycopg.Connection[TupleRow]:
        """One under these settings, without those that the role may not set: which these are, a first session finds out."""
        try:
            return psycopg.connect(autocommit=True, options=self._options(settings), **parameters)
        except psycopg.OperationalError as error:
            if _DENIED not in str(error):
                raise
        refused_here = set(PRIVILEGED)
        connection: psycopg.Connection[TupleRow] = psycopg.connect(
            autocommit=True, options=self._options(settings, refused_here), **parameters
        )
        for name in PRIVILEGED:
            with suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(settings[name])))
                refused_here.discard(name)
        self.refused_settings.update(refused_here)
        return connection

    def _options(self, settings: Mapping[str, str], without: Collection[str] = ()) -> str:
        passed_over = {*self.refused_settings, *without}
        return options({k: v for k, v in settings.items() if k not in passed_over}, self.major)

    def identified(self, connection: psycopg.Connection[TupleRow]) -> Server:
        """This server, and no other that may answer at its address: the one that the session reached, as it runs now."""
        try:
            ((identity,),) = connection.execute(_IDENTITY).fetchall()
        except (psycopg.ProgrammingError, psycopg.NotSupportedError):  # a managed server may keep it to itself
            ((identity,),) = connection.execute(_START).fetchall()
        return replace(self, identity=identity, major=connection.info.server_version // 10000)

    def _require_identity(self, connection: psycopg.Connection[TupleRow]) -> None:
        """A pooler, a name of several addresses or a switch-over may lead to one server now and to another later."""
        if self.identity and self.identified(connection).identity != self.identity:
            connection.close()
            raise another_server(self.address)

    def tool_environment(self, application: str) -> dict[str, str]:
        """The environment of a client program on this machine; the password is nowhere else."""
        s = self.settings
        parameters = {f"PG{name.upper()}": value for name, value in way(s.host, s.port, self._tunnel()).items()}
        return tool_environment(**(self._variables(application) | parameters))

    def dump_variables(self, application: str, encoding: str = "UTF8") -> Environment:
        """libpq's variables for a client program on `host`, which shall run under `FIXED_SETTINGS`; `encoding` is the client's."""
        return hidden() | self._variables(application) | self._chosen(FIXED_SETTINGS, encoding)

    def end_leftovers(self, application: str) -> int:
        """End the client programs that a dead run left on `host`; only the lock's holder may."""
        own = self._variables(application)
        marks = {name: own[name] for name in ("PGAPPNAME", "PGHOST", "PGPORT")}
        return self.host.end_leftovers(marks, sparing="postgres")

    def _variables(self, application: str) -> dict[str, str]:
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
        return {key: value for key, value in values.items() if value}

    def fixed_environment(self, application: str, encoding: str = "UTF8") -> dict[str, str]:
        """For a client program on this machine that shall run under `FIXED_SETTINGS`; `encoding` is the client's."""
        return self.tool_environment(application) | self._chosen(FIXED_SETTINGS, encoding)

    def restoring_environment(self, application: str, encoding: str = "UTF8") -> dict[str, str]:
        """For a client program on this machine that restores under the database's own settings."""
        return self.tool_environment(application) | self._chosen(RESTORING_SETTINGS, encoding)

    def _chosen(self, settings: Mapping[str, str], encoding: str) -> dict[str, str]:
        return {"PGOPTIONS": self._options(settings), "PGCLIENTENCODING": encoding}


def another_server(address: str) -> TransientFailure:
    """Of a run that reached two servers."""
    return TransientFailure(
        f"What answers at {address} is another server than the one this run began with, or that one was started again; "
        "give the address of one server, not of a pooler or of several, and run it again."
    )


def failed(what: str, error: psycopg.Error) -> PlatformOpsError:
    """A database error as one of ours: `what` says what was being done and where."""
    text = reason(str(error))[:300]
    if isinstance(error, (psycopg.OperationalError, psycopg.errors.LockNotAvailable)):
        return TransientFailure(f"{what}: {text}.")
    return OperationFailed(f"{what}: {text}.")
