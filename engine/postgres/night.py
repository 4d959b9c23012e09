"""One run of a backup: which server, since when, with which tools, under which ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from engine.postgres.embedded import client_programs
from engine.postgres.roles import Globals
from engine.postgres.server import Server
from engine.postgres.survey import DatabaseFound, ServerFacts, survey_server
from engine.postgres.tools import Tools, tools_for
from engine.sets.keys import SetKey, new_set_id


@dataclass(frozen=True)
class Night:
    """One run of a backup: which server, since when, under which ids.

    `token` makes the ids of its sets: the same token and time give the same ids, so that a retry
    writes to the same place.
    """

    server: Server
    started: datetime
    token: str
    facts: ServerFacts
    programs: Path
    tools: Tools
    globals: Globals = field(default_factory=Globals, compare=False, repr=False)

    @property
    def cluster(self) -> SetKey:
        return SetKey(self.server.name, None, new_set_id(self.started, self.token, "cluster"))

    def database(self, name: str) -> SetKey:
        return SetKey(self.server.name, name, new_set_id(self.started, self.token, "db", name))


def begin(server: Server, token: str, started: datetime | None = None) -> Night:
    """Check the server and the tools before anything is read.

    Raises:
        ConfigurationError: no tools that fit, or a role that may not read everything.
    """
    facts = survey_server(server)
    tools = tools_for(server, facts.major, facts.tls)
    # pg_restore runs here, whatever reads the server; it must know the archives of the pg_dump there.
    programs = tools.folder if isinstance(tools.folder, Path) else client_programs(tools.version[0])
    return Night(server, started or datetime.now(UTC), token, facts, programs, tools)


def ordinals(databases: Iterable[DatabaseFound]) -> dict[str, int]:
    """The number of each database in the cluster set's files: the order of a restore."""
    return {database.name: number for number, database in enumerate(databases, 1)}
