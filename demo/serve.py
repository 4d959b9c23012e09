"""`python -m demo.serve server start ...`: Prefect's own command, whose transactions on SQLite take turns.

Prefect begins most of them DEFERRED: one that reads first and then writes fails at once with "database is locked" where
another has written meanwhile, however long it may wait. Begun IMMEDIATE, each waits for its turn before it reads.
For more than one machine: PostgreSQL (docs/add-a-server.md).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect.cli import app
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import temporary_database_config
from prefect.settings import get_current_settings
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


class InTurn(AioSqliteConfiguration):
    """SQLite, every transaction of which may write."""

    @asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        del with_for_update
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def main() -> None:
    """As `prefect`, with what follows on the command line."""
    url = get_current_settings().server.database.connection_url
    assert url is not None  # noqa: S101 - Prefect has one by default
    with temporary_database_config(InTurn(connection_url=url.get_secret_value())):
        app()


if __name__ == "__main__":
    main()
