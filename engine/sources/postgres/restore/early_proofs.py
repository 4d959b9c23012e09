"""Proofs of rows, taken while a restore's last indexes and foreign keys leave a core idle.

Foreign keys are checked one after the other, and the last index stands alone. Reading rows is in nobody's way there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import psycopg

from engine.sources.postgres.proof.table_counters import EarlyProof, prove_early
from engine.sources.postgres.restore.load import JOBS
from engine.sources.postgres.restore.replay import APPLICATION
from engine.sources.postgres.server.server import Server, failed

_PAUSE_SECONDS = 0.1
_IDLE_TWICE = 2
"""Between two statements a session is idle for a moment, too."""
_AT_WORK = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
 WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
   AND state = 'active' AND backend_type = 'client backend'
"""


class EarlyProofs:
    """Takes proofs of `tables` (as SQL) as long as `building` says that somebody builds in the database."""

    def __init__(
        self,
        server: Server,
        database: str,
        tables: Sequence[bytes],
        building: Callable[[], bool],
        encoding: str = "UTF8",
    ) -> None:
        self.proofs: dict[str, EarlyProof] = {}
        self._server = server
        self._database = database
        self._encoding = encoding
        self._tables = list(tables)
        self._building = building

    def run(self) -> None:
        """Prove one table after the other whenever fewer sessions than `JOBS` are at work.

        Raises:
            OperationFailed: the server went away (a TransientFailure).
        """
        try:
            with self._server.connect(self._database, application=APPLICATION, encoding=self._encoding) as connection:
                while self._tables and self._room(connection):
                    self.proofs |= prove_early(connection, self._tables.pop(0))
        except psycopg.Error as error:
            raise failed(f"Reading the restored {self._database!r} failed", error) from None

    def _room(self, connection: psycopg.Connection[tuple[object, ...]]) -> bool:
        """Wait until a core is idle; False when nobody builds any more."""
        idle = 0
        while idle < _IDLE_TWICE:
            if not self._building():
                return False
            (sessions,) = connection.execute(_AT_WORK).fetchall()[0]
            idle = idle + 1 if int(str(sessions)) < JOBS else 0
            time.sleep(_PAUSE_SECONDS)
        return True
