"""The globals of a backup run: every role of the server, and the SQL that makes them."""

from __future__ import annotations

import secrets
from threading import Lock

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.errors import TransientFailure
from engine.sources.postgres.archive.globals_sql import create_absent, quoted, rerunnable
from engine.sources.postgres.programs import commands
from engine.sources.postgres.programs.tools import Tools
from engine.sources.postgres.proof.roles import BARE, Roles, read_roles, settings_of_all
from engine.sources.postgres.server.activity import seen_on
from engine.sources.postgres.server.raw_text import RAW, to_bytes, to_text, unconverted
from engine.sources.postgres.server.rights import is_superuser
from engine.sources.postgres.server.server import Server, another_server
from engine.sources.postgres.server.setting_sql import setting_sql
from engine.streams.stderr import summary

_TOOL_SECONDS = 600
_FIRST = "SELECT rolname FROM pg_catalog.pg_roles WHERE oid = 10"
"""The superuser that initdb made."""
_TRIES = 10
_GLANCES = 20


def dump_globals(server: Server, tools: Tools, application: str, *, passwords: bool = True) -> bytes:
    """What `pg_dumpall --globals-only` gives, made so that a role that exists does not stop it.

    It is small (a line or two per role), so it is held in memory. `passwords`: the configured role may read them.

    Raises:
        TransientFailure: the tool failed, or read another server than our own sessions do.
    """
    with server.connect(application=application) as connection:
        text = _of_this_server(server, tools, application, passwords=passwords)
        with unconverted(connection):
            ((first,),) = connection.execute(_FIRST).fetchall()
            after = _settings_for_all(connection) + _configuration(connection)
        return to_bytes(rerunnable(text, first, spare_superusers=not is_superuser(connection)) + after)


def _of_this_server(server: Server, tools: Tools, application: str, *, passwords: bool) -> str:
    """What pg_dumpall writes while its session is seen on the server of ours. It may be too short to be seen, on a machine
    that is busy: then it runs again. What it writes tells nothing: a standby and a clone have the same roles and passwords.
    """
    argv = commands.globals_argv(tools.folder, server.settings.maintenance_database, passwords=passwords)
    for _ in range(_GLANCES):
        mark = f"{application} {secrets.token_hex(8)}"
        with seen_on(server, mark) as seen:
            done = tools.host.run(argv, env=server.dump_variables(mark, RAW), timeout=_TOOL_SECONDS)
        if done.code:
            raise TransientFailure(f"pg_dumpall of {server.address} failed: {summary(done.stderr)}")
        if seen():
            return to_text(done.stdout)
    raise another_server(server.address)


class Globals:
    """The globals of one backup run, read again only when the roles are other ones. For several threads."""

    def __init__(self, *, passwords: bool = True) -> None:
        self._passwords = passwords
        self._lock = Lock()
        self._roles: Roles | None = None
        self._text = b""
        self._seen: set[str] = set()

    def read(self, server: Server, tools: Tools, application: str, seen: Roles | None) -> tuple[Roles, bytes]:
        """The roles and what makes them. `seen` are those of the moment that is backed up; None: of now.

        One that was dropped since may have grants in a dump of this backup run: it is made too, with nothing of its own.

        Raises:
            TransientFailure: the tool failed, or the roles change faster than they can be read.
        """
        with self._lock:
            if self._roles is None or self._roles != seen:
                self._roles, self._text = _of_one_moment(server, tools, application, passwords=self._passwords)
            self._seen.update(seen or ())
            dropped = sorted(self._seen - self._roles.keys())
            made = "".join(create_absent(quoted(name)) for name in dropped)
            return self._roles | dict.fromkeys(dropped, BARE), self._text + to_bytes(made)


def _of_one_moment(server: Server, tools: Tools, application: str, *, passwords: bool) -> tuple[Roles, bytes]:
    """The roles and what makes them; pg_dumpall takes no snapshot, so they must be the same before and after it."""
    with server.connect(application=application) as connection:
        after = read_roles(connection, passwords=passwords)
        for _ in range(_TRIES):
            before, text = after, dump_globals(server, tools, application, passwords=passwords)
            after = read_roles(connection, passwords=passwords)
            if after == before:
                return after, text
    raise TransientFailure(
        f"The roles of {server.address} change all the time: {_TRIES} times they were others after pg_dumpall "
        "than before; see what creates and alters roles, and try again."
    )


def _settings_for_all(connection: psycopg.Connection[TupleRow]) -> str:
    """What ALTER ROLE ALL has set, which pg_dumpall leaves out."""
    whose = sql.SQL("ALTER ROLE ALL")
    settings = [setting_sql(whose, assignment) for assignment in settings_of_all(connection)]
    return "".join(f"{setting.as_string(None)};\n" for setting in settings)


_CONFIGURATION = r"""
SELECT s.name || ' = ' || pg_catalog.quote_literal(s.setting)
  FROM (SELECT DISTINCT ON (name) name, setting FROM pg_catalog.pg_file_settings ORDER BY name, seqno DESC) AS s
UNION ALL
SELECT 'pg_hba.conf: ' || line FROM pg_catalog.regexp_split_to_table(
    pg_catalog.pg_read_file(pg_catalog.current_setting('hba_file')), '\n') AS line WHERE line !~ '^\s*(#|$)'
UNION ALL
SELECT 'pg_ident.conf: ' || line FROM pg_catalog.regexp_split_to_table(
    pg_catalog.pg_read_file(pg_catalog.current_setting('ident_file')), '\n') AS line WHERE line !~ '^\s*(#|$)'
"""


def _configuration(connection: psycopg.Connection[TupleRow]) -> str:
    """The server's configuration files as comments: for who makes the server anew, not for psql."""
    try:
        lines = [row[0] for row in connection.execute(_CONFIGURATION.encode())]
    except psycopg.errors.InsufficientPrivilege:
        return ""  # the manifest says so
    shown = "".join(f"-- {' '.join(line.splitlines())}\n" for line in lines)
    return f"\n-- The configuration of the server, which a restore does not set:\n{shown}"
