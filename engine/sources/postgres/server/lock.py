"""Never two backups of one server at once: a lock the server itself holds.

An advisory lock of a session kept open: it holds across hosts, and it is gone with its holder,
however that dies. It lives in the maintenance database; one that is held in another database counts too.
A pooler would break it and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.errors import LockedByAnother, TransientFailure
from engine.sources.postgres.server.refusal import pooler
from engine.sources.postgres.server.rights import MAY_END
from engine.sources.postgres.server.server import Server, failed

_CLASS, _BACKUP = 0x706C6F70, 1  # "plop": platform-ops
HOLDER = "platform-ops lock"
WORKER = "platform-ops dump"
"""What application_name begins with: of the lock's session, and of every session and client program it protects."""

SOON_MISSED = {
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""Of the server's side (seconds; the last one milliseconds): a holder whose host lost its power is noticed within a
minute and not after the kernel's two hours. On a local socket they do nothing."""

_WHO = """
SELECT COALESCE(a.application_name, 'a session of another role'), a.backend_start,
       COALESCE(pg_catalog.host(a.client_addr), 'a local socket')
  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.classid = %s AND l.objid = %s AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()
"""
"""Of whatever database: an advisory lock is its database's own, and another configuration may name another one."""
_END_LEFTOVERS = """
SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(a.pid)) FROM pg_catalog.pg_stat_activity a
 WHERE pg_catalog.starts_with(a.application_name, %s) AND a.pid <> pg_catalog.pg_backend_pid() AND
"""


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock that is held for as long as its session lives; `server` is the very one that gave it."""

    server: Server
    connection: psycopg.Connection[TupleRow]

    def require(self) -> None:
        """Ask before what only the holder may do.

        Raises:
            TransientFailure: the session was lost, and another run may hold the lock by now.
        """
        self._ask("SELECT 1")

    def give_back(self) -> None:
        """Unlock, so that the next one need not wait until the server notices the session's end; raises as `require`."""
        self._ask(f"SELECT pg_catalog.pg_advisory_unlock({_CLASS}, {_BACKUP})")

    def _ask(self, query: LiteralString) -> None:
        try:
            self.connection.execute(query)
        except psycopg.Error:
            raise TransientFailure(
                f"The session that held the backup lock of {self.server.address} was lost during the backup; run it again."
            ) from None


@contextmanager
def backup_lock(server: Server, label: str = "") -> Iterator[HeldLock]:
    """Hold the server's backup lock; end what a dead holder left running on the server.

    Raises:
        ConfigurationError: a connection pooler answers, behind which no lock holds.
        LockedByAnother: another backup of this server runs.
        TransientFailure: the lock's session was lost while the block ran.
    """
    connection = server.connect(application=f"{HOLDER} {label}".strip()[:63])
    try:
        try:
            _lock(server, connection)
        except psycopg.OperationalError as error:  # it is being restarted
            raise failed(f"{server.address} does not answer", error) from None
        server.end_leftovers(WORKER)
        held = HeldLock(server.identified(connection), connection)
        yield held
        held.give_back()
    finally:
        connection.close()


def _lock(server: Server, connection: psycopg.Connection[TupleRow]) -> None:
    _no_pooler(server, connection)
    for setting, value in SOON_MISSED.items():
        connection.execute(sql.SQL("SET {} = {}").format(sql.Identifier(setting), value))
    row = connection.execute("SELECT pg_catalog.pg_try_advisory_lock(%s, %s)", (_CLASS, _BACKUP)).fetchone()
    holder = connection.execute(_WHO.encode(), (_CLASS, _BACKUP)).fetchone()
    if row is None or not row[0] or holder:
        raise LockedByAnother(_held_by(server, holder))
    connection.execute((_END_LEFTOVERS + MAY_END).encode(), (WORKER,))


def _no_pooler(server: Server, connection: psycopg.Connection[TupleRow]) -> None:
    """A pooler cannot pass on the process id of a session that it has not given us yet."""
    row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        raise pooler(server.address)


def _held_by(server: Server, holder: TupleRow | None) -> str:
    since = f", held by {holder[0]!r} from {holder[2]} since {holder[1]:%Y-%m-%d %H:%M:%S %Z}" if holder else ""
    return f"Another backup of {server.address} is running{since}; wait for it or end it, then start again."
