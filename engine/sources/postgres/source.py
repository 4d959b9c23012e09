"""A PostgreSQL server as a source; see `engine.sources.base` for the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING

from engine.errors import PlatformOpsError
from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.writing import SetWriter
from engine.sources.base import Source
from engine.sources.item import Forecast, Item, Run
from engine.sources.kind import Facts
from engine.sources.postgres.backup.backup import backup_database, close_cluster
from engine.sources.postgres.backup.survey import Surveyed, foreseen, survey
from engine.sources.postgres.kinds import CLUSTER
from engine.sources.postgres.server.databases import DatabaseFound, list_databases
from engine.sources.postgres.server.lock import HeldLock, backup_lock
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.server.working import drop_working

if TYPE_CHECKING:
    from engine.sources.postgres.settings import ServerSettings


class PostgresSource(Source):
    """`server` is how it is reached."""

    def __init__(self, name: str, settings: ServerSettings, host: HostSettings) -> None:
        self.name = name
        self.settings = settings
        self.server = Server(name, settings, host)
        self._surveyed: dict[str, Surveyed] = {}
        self._surveying = Lock()

    @property
    def address(self) -> str:
        return self.server.address

    @contextmanager
    def lock(self, label: str) -> Iterator[HeldLock]:
        """See the contract. While it is held, every session must reach the server that gave it."""
        before = self.server
        with backup_lock(before, label) as held:
            self.server = held.server
            try:
                yield held
            finally:
                self.server = before

    def sweep(self) -> None:
        with suppress(PlatformOpsError):  # one that stays is listed with its reason
            drop_working(self.server)

    def items(self) -> Sequence[Item]:
        return (*list_databases(self.server), Item(CLUSTER.name, closes=True))

    def backup(self, item: Item, run: Run, out: SetWriter, progress: Progress) -> Facts:
        surveyed = self._survey(run)
        if isinstance(item, DatabaseFound):
            return backup_database(surveyed, item, run, out, progress)
        return close_cluster(surveyed, run, out)

    def remarks(self, items: Sequence[Item]) -> Sequence[str]:
        return super().remarks((*items, Item("", "template0")))  # which nobody backs up, and anybody may name

    def forecast(self, items: Sequence[Item]) -> Forecast:
        facts = survey(self.server).facts
        lacks, failures = [*facts.passwords_missing, *facts.missing], []
        for item in (one for one in items if isinstance(one, DatabaseFound)):
            try:
                lacks += foreseen(self.server, item.name)
            except PlatformOpsError as error:
                failures.append((item, error))
        return Forecast(tuple(lacks), tuple(failures))

    def _survey(self, run: Run) -> Surveyed:
        """Server and tools are looked at once in a run: its items share what was found."""
        with self._surveying:
            if run.token not in self._surveyed:
                self._surveyed = {run.token: survey(self.server)}
            return self._surveyed[run.token]
