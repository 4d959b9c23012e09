"""Nouns an operator edits in the Prefect UI: where servers and stores are. They hold no secret.

Importing this package also lets `prefect:` references be read (see `blocks.secret_references`).
"""

from blocks.backup_store import BackupStore
from blocks.postgres_server import PostgresServer
from blocks.secret_references import register_prefect_secrets

__all__ = ["BackupStore", "PostgresServer"]

register_prefect_secrets()
