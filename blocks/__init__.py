"""Nouns an operator edits in the Prefect UI: hosts, what is kept on them, and stores. They hold no secret.

Importing this package also lets `prefect:` references be read (see `blocks.secret_references`).
"""

from blocks.backup_store import BackupStore
from blocks.cluster import Cluster
from blocks.host import PlatformHost
from blocks.platform import Platform
from blocks.secret_references import register_prefect_secrets
from blocks.sources import source_block, source_blocks

__all__ = ["BackupStore", "Cluster", "Platform", "PlatformHost", "source_block", "source_blocks"]

register_prefect_secrets()
