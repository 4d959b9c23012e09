"""What is known while a database is filled from an archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.sources.postgres.archive.archive import Head
from engine.sources.postgres.archive.toc import DataPlan
from engine.sources.postgres.restore.load.job import LoadJob
from engine.sources.postgres.restore.load.session import Loading


@dataclass(frozen=True, slots=True)
class Work:
    """`most_memory` is what a session that builds an index may have, in kB."""

    job: LoadJob
    most_memory: int

    @property
    def environment(self) -> dict[str, str]:
        return self.job.environment(self.most_memory)

    @property
    def head(self) -> Path:
        return self.job.source.spool / "head"

    def listed(self, name: str, lines: Sequence[bytes]) -> Path:
        """A file that names entries to pg_restore."""
        path = self.job.source.spool / f"{name}.list"
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(b"\n".join(lines) + b"\n")
        return path


@dataclass(frozen=True, slots=True)
class Loaded:
    """The archive's head, what is known of its data (if anything), and what sessions have done."""

    head: Head
    plan: DataPlan | None
    loading: Loading

    @property
    def large_tables(self) -> tuple[bytes, ...]:
        return self.loading.scheduler.large_tables
