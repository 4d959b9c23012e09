"""The proof of a database that was restored, to be compared with the stored one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from engine.errors import CouldNotVerify
from engine.sources.postgres.archive import archive
from engine.sources.postgres.programs import commands
from engine.sources.postgres.proof.proof import DatabaseProof, DatabaseProperties
from engine.sources.postgres.proof.take_proof import take_proof
from engine.sources.postgres.restore.database import create_database
from engine.sources.postgres.restore.replay import APPLICATION, STALL_SECONDS
from engine.sources.postgres.server.environment import run_here
from engine.sources.postgres.server.raw_text import to_bytes
from engine.sources.postgres.server.server import Server, failed
from engine.sources.postgres.server.working import drop_working, working_name
from engine.streams.pipeline import Pipeline
from engine.streams.spool import spool_folder
from engine.streams.stderr import reason


def restored_proof(
    server: Server,
    database: str,
    programs: Path,
    encoding: str = "UTF8",
    sample_percent: int = 100,
) -> DatabaseProof:
    """The proof of a restored database, its schema dumped again; sampled as the one it is compared with.

    `encoding` is the client encoding that one was taken in.
    """
    with (
        server.connect(database, application=APPLICATION, encoding=encoding) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        try:
            schema = pool.submit(_schema, server, database, encoding, programs)
            proof = take_proof(connection, database, "", sample_percent=sample_percent)
            return proof.model_copy(update={"schema_sql": schema.result()})
        except psycopg.errors.InsufficientPrivilege as error:
            raise _may_not_read(server, error) from None
        except psycopg.Error as error:
            raise failed(f"Reading the restored database {database!r} failed", error) from None


def _may_not_read(server: Server, error: psycopg.Error) -> CouldNotVerify:
    """Of who is no superuser: row security that is forced holds for an owner too."""
    user = server.settings.user
    return CouldNotVerify(
        f"The role {user!r} of {server.address} may not read all that it restored, so that nothing can be compared: "
        f"{reason(str(error))}; ALTER ROLE {user} BYPASSRLS, or give the role of the owner, and restore again."
    )


def _schema(server: Server, database: str, encoding: str, programs: Path) -> str:
    with Pipeline() as pipeline, spool_folder() as folder:
        dump = pipeline.start(
            commands.schema_argv(programs, database),
            name=f"pg_dump of the restored {database!r}",
            env=server.fixed_environment(APPLICATION, encoding),
            stdin=subprocess.DEVNULL,
        )
        head = archive.head_of(dump, folder, programs)
        dump.stdout.close()
        return head.schema()


def reprinter(
    server: Server, programs: Path, properties: DatabaseProperties, encoding: str = "UTF8"
) -> Callable[[str], str]:
    """How a schema's SQL prints after one restore: run it in a database of its own and dump that.

    `encoding` is the client encoding it was dumped in, `properties` are those of the restored database: its encoding and locale, which this server has.
    """

    def reprint(schema_sql: str) -> str:
        scratch_name = working_name()
        create_database(server, scratch_name, properties)
        try:
            done = run_here(
                commands.psql_argv(programs, scratch_name),
                env=server.fixed_environment(APPLICATION, encoding),
                timeout=STALL_SECONDS,
                stdin=to_bytes(schema_sql),
            )
            return "" if done.code else restored_proof(server, scratch_name, programs, encoding).schema_sql
        finally:
            drop_working(server, scratch_name)

    return reprint
