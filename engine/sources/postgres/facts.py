"""What the manifests of PostgreSQL's sets say beside what all manifests do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import Field

from engine.progress import counted, readable_bytes, readable_seconds
from engine.repository.body import Body
from engine.sources.kind import Facts
from engine.words.report import Table
from engine.words.wording import readable_time

_SHOWN = 1000
_ROLES = 50


class ClusterFacts(Facts):
    """Of a whole server: extensions, versions of collations and seconds a snapshot was held are by database. `spare` are
    those of the databases that hold nothing but what every server has. `passwords`: the roles' verifiers are in the set."""

    server_version: str
    client_version: str
    image: str | None = None
    system_identifier: str
    superuser: str
    roles: tuple[str, ...] = ()
    settings: dict[str, str] = Field(default={})
    extensions: dict[str, dict[str, str]] = Field(default={})
    collations: dict[str, dict[str, str]] = Field(default={})
    snapshot_seconds: dict[str, float] = Field(default={})
    spare: tuple[str, ...] = ()
    passwords: bool = True

    @property
    def major(self) -> int | None:
        """Of the server's version; None where it is none."""
        major = self.server_version.split(".", 1)[0]
        return int(major) if major.isdecimal() else None

    def shown(self) -> tuple[tuple[str, str], ...]:
        return (
            ("databases", f"{len(self.extensions):,}"),
            ("PostgreSQL", f"{self.server_version} (dumped with {self.client_version})"),
            ("system identifier", self.system_identifier),
            ("image", self.image or "-"),
            ("roles", ", ".join(self.roles[:_ROLES])),
        )

    def tables(self, body: Body) -> tuple[Table, ...]:
        times = tuple(
            (
                name,
                readable_time(timing.started),
                readable_seconds(timing.seconds),
                readable_seconds(self.snapshot_seconds.get(name, 0.0)),
            )
            for name, timing in list(body.timings.items())[:_SHOWN]
        )
        extensions = tuple(
            (database, ", ".join(f"{name} {version}" for name, version in sorted(found.items())))
            for database, found in list(self.extensions.items())[:_SHOWN]
            if found
        )
        return (
            Table("Times", ("database", "begun", "took", "snapshot held"), times, right=("took", "snapshot held")),
            Table("Extensions", ("database", "extensions"), extensions),
        )


class DatabaseFacts(ClusterFacts):
    """Of one database: counts of what its proof covers, and the bytes that pg_dump wrote. `left_out` is what neither
    its own set nor the cluster set has of it."""

    left_out: tuple[str, ...] = ()
    tables_proven: int
    rows: int
    large_objects: int
    dump_bytes: int

    def shown(self) -> tuple[tuple[str, str], ...]:
        contents = ", ".join(counted(count, noun) for noun, count in self.counts().items())
        return (("contents", contents), *super().shown()[1:])

    def counts(self) -> Mapping[str, int]:
        return {"table": self.tables_proven, "row": self.rows}

    def cells(self) -> Mapping[str, str]:
        return {"read": readable_bytes(self.dump_bytes)}

    @classmethod
    def of_all(cls, facts: Sequence[Self]) -> tuple[tuple[str, str], ...]:
        held = max(seconds for one in facts for seconds in one.snapshot_seconds.values())
        return (
            ("read from the server", readable_bytes(sum(one.dump_bytes for one in facts))),
            ("longest snapshot held", readable_seconds(held)),
        )
