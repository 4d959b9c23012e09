"""The demo's Prefect on SQLite: transactions that read first and then write take turns."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from demo.serve import InTurn

_READ, _WRITE = sa.text("SELECT count(*) FROM t"), sa.text("INSERT INTO t SELECT count(*) FROM t")


async def _at_once(database: AioSqliteConfiguration) -> list[int]:
    """What two such transactions write, each of which reads before the other writes, where it may."""
    engine = await database.engine()
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE t (a integer)"))
    await asyncio.gather(*(_read_and_write(database, engine) for _ in range(2)))
    async with engine.connect() as connection:
        return list((await connection.execute(sa.text("SELECT a FROM t ORDER BY a"))).scalars())


async def _read_and_write(database: AioSqliteConfiguration, engine: AsyncEngine) -> None:
    async with await database.session(engine) as session, database.begin_transaction(session):
        await session.execute(_READ)
        await asyncio.sleep(0.2)
        await session.execute(_WRITE)


def test_who_reads_and_then_writes_waits_for_the_other(tmp_path: Path) -> None:
    """Prefect's own way fails here; once it does not, the mend can go."""
    assert asyncio.run(_at_once(InTurn(connection_url=f"sqlite+aiosqlite:///{tmp_path}/turns"))) == [0, 1]
    with pytest.raises(OperationalError, match="database is locked"):
        asyncio.run(_at_once(AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{tmp_path}/at-once")))
