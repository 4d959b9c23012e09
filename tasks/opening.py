"""Open what names stand for. Only tasks do."""

from __future__ import annotations

from blocks import BackupStore, PostgresServer
from engine.config.settings import ServerSettings, StoreSettings
from engine.postgres.server import Server
from engine.sets.target import Target, open_target
from tasks.patience import patient


def server_settings(name: str) -> ServerSettings:
    """What the block of that PostgreSQL server says."""
    return patient(lambda: PostgresServer.named(name)).settings()


def store_settings(name: str) -> StoreSettings:
    """What the block of that backup store says."""
    return patient(lambda: BackupStore.named(name)).settings()


def open_server(name: str) -> Server:
    """The PostgreSQL server of that name."""
    return Server(name, server_settings(name))


def open_store(name: str) -> Target:
    """The backup store of that name."""
    return open_target(name, store_settings(name))


def store_of(server: Server, store: str = "") -> str:
    """The given store's name, or the one the server's backups go to."""
    return store or server.settings.store
