"""A PostgreSQL server by its name in the configuration."""

from __future__ import annotations

from engine.config.settings import Settings
from engine.errors import ConfigurationError
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.settings import ServerSettings


def configured_server(settings: Settings, name: str) -> Server:
    """The server of this name.

    Raises:
        ConfigurationError: there is none, or it is another kind of source.
    """
    own = settings.source(name)
    if not isinstance(own, ServerSettings):
        raise ConfigurationError(f"{name} is no PostgreSQL server; name one of [servers].")
    return Server(name, own, settings.host_of(own))
