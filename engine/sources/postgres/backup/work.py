"""One database being backed up, and how the files are called that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.progress import Progress
from engine.repository.keys import encoded
from engine.repository.writing import SetWriter
from engine.sources.item import Run
from engine.sources.postgres.backup.survey import Surveyed
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.server.databases import DatabaseFound
from engine.sources.postgres.server.unreadable import READABLE, Unreadable
from engine.streams.pipes import Meter


@dataclass
class Work:
    """`out` takes the files of the database's own set. `proof` is there once the dump has ended well. `unreadable` is what
    the role may not read."""

    surveyed: Surveyed
    database: DatabaseFound
    run: Run
    out: SetWriter
    progress: Progress
    meter: Meter = field(default_factory=Meter)
    proof: DatabaseProof | None = None
    unreadable: Unreadable = READABLE

    @property
    def name(self) -> str:
        return self.database.name

    @property
    def shared(self) -> SetWriter | None:
        """What takes its part of the cluster set; None where its own set alone is wanted."""
        return self.run.shared

    @property
    def dump_name(self) -> str:
        return f"{encoded(self.name)}.dump"

    @property
    def proof_name(self) -> str:
        return f"{encoded(self.name)}.proof.json"

    @property
    def text_name(self) -> str:
        return f"{self._ordinal:03d}-{encoded(self.name)}.sql"

    @property
    def shared_proof_name(self) -> str:
        return f"{self._ordinal:03d}-{encoded(self.name)}.proof.json"

    @property
    def _ordinal(self) -> int:
        """Its number in the cluster set: the order of a restore."""
        return 1 + [item.name for item in self.run.items].index(self.name)
