"""Open what names stand for. Only tasks do."""

from __future__ import annotations

from blocks import BackupStore, PostgresServer
from engine.postgres.server import Server
from engine.sets.target import Target, open_target


def open_server(name: str) -> Server:
    """The PostgreSQL server of that name."""
    return Server(name, PostgresServer.named(name).settings())


def open_store(name: str) -> Target:
    """The backup store of that name."""
    return open_target(name, BackupStore.named(name).settings())


def store_of(server: Server, store: str = "") -> str:
    """The given store's name, or the one the server's backups go to."""
    return store or server.settings.store
