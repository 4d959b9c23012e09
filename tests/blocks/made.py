"""Blocks and names that tests of Prefect's side speak of."""

from __future__ import annotations

from blocks import source_block
from engine.repository.keys import Asset
from engine.sources.postgres.source_type import POSTGRES

ServerBlock = source_block(POSTGRES)
WHOLE = Asset("platform", "cluster", "")


def database(name: str) -> Asset:
    return Asset("platform", "db", name)
