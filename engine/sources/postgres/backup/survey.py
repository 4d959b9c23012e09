"""What a run of a backup goes by: the server as it was found, and the tools that fit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from engine.sources.postgres.archive.service_extensions import named
from engine.sources.postgres.backup.read_globals import Globals
from engine.sources.postgres.programs.installed import client_programs
from engine.sources.postgres.programs.tools import Tools, tools_for
from engine.sources.postgres.server.server import Server, failed
from engine.sources.postgres.server.survey import ServerFacts, survey_database, survey_server
from engine.sources.postgres.server.unreadable import unreadable


@dataclass(frozen=True)
class Surveyed:
    """A server that was looked at before anything is read. `programs` are those of this machine."""

    server: Server
    facts: ServerFacts
    programs: Path
    tools: Tools
    globals: Globals = field(default_factory=Globals, compare=False, repr=False)


def foreseen(server: Server, database: str) -> tuple[str, ...]:
    """What a set of this database would lack, in words.

    Raises:
        PlatformOpsError: why it cannot be backed up.
    """
    with server.connect(database) as connection:
        try:
            omitted = unreadable(connection, database, server.settings.user).sentences()
            found = survey_database(connection, database)
        except psycopg.Error as error:
            raise failed(f"Reading the catalogue of database {database!r} of {server.address} failed", error) from None
    own = (*omitted, *named(found.extensions))
    return (*(f"{database}: {line}" for line in own), *found.missing, *found.alone)


def survey(server: Server) -> Surveyed:
    """Check the server and the tools before anything is read.

    Raises:
        ConfigurationError: no tools that fit, or a role whose name they refuse.
    """
    facts = survey_server(server)
    server = replace(server, major=facts.major)
    tools = tools_for(server, facts.major, facts.tls)
    # pg_restore runs here, whatever reads the server; it must know the archives of the pg_dump there.
    programs = tools.folder if isinstance(tools.folder, Path) else client_programs(tools.version[0])
    return Surveyed(server, facts, programs, tools, Globals(passwords=facts.passwords))
