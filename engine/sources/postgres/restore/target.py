"""The server that is restored into: what its role may do there, and what it lacks that only another service has."""

from __future__ import annotations

from pathlib import Path

from engine.errors import ConfigurationError
from engine.sources.postgres.archive.service_extensions import SERVICE_ONLY, lacking
from engine.sources.postgres.programs.tools import programs_here
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.server.survey import ServerFacts, survey_server


def look_at(server: Server) -> ServerFacts:
    """What is to be restored into.

    Raises:
        PlatformOpsError: the server cannot be asked, or its role may not make a database.
    """
    facts = survey_server(server)
    if not facts.makes_databases:
        raise ConfigurationError(
            f"The role {server.settings.user!r} of {server.address} may not make databases: ALTER ROLE "
            f"{server.settings.user} CREATEDB, or give one that may in user and password."
        )
    return facts


def programs_for(server: Server) -> Path:
    """The client programs of this machine for a restore into this server.

    Raises:
        PlatformOpsError: the server cannot be asked, its role may not do it, or there are no programs that fit.
    """
    facts = look_at(server)
    return programs_here(server, facts.major, facts.tls)


def omitted_extensions(server: Server, proof: DatabaseProof) -> frozenset[str]:
    """The extensions of a database that only its service has, and this server not."""
    if not SERVICE_ONLY & proof.extensions.keys():
        return frozenset()
    with server.connect() as connection:
        available = {name for (name,) in connection.execute("SELECT name FROM pg_catalog.pg_available_extensions")}
    return lacking(proof.extensions, available)


def omissions_of(database: str, extensions: frozenset[str]) -> tuple[str, ...]:
    """One line for all of them."""
    names = ", ".join(sorted(extensions))
    return (
        (f"{database}: the extensions {names} (this server lacks them, and they are a service's own)",) if names else ()
    )
