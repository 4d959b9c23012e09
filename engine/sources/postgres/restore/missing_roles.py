"""The roles that a restored database needs and the server lacks."""

from __future__ import annotations

from pathlib import Path

from engine.errors import OperationFailed
from engine.sources.postgres.archive.globals_sql import only_roles
from engine.sources.postgres.kinds import facts_of
from engine.sources.postgres.programs import commands
from engine.sources.postgres.restore.checked_copy import Source
from engine.sources.postgres.restore.replay import APPLICATION
from engine.sources.postgres.server.environment import run_here
from engine.sources.postgres.server.raw_text import to_bytes, unconverted
from engine.sources.postgres.server.server import Server
from engine.streams.said import told

_SECONDS = 600


def create_missing_roles(server: Server, programs: Path, source: Source) -> tuple[str, ...]:
    """Create the roles of the set that the server lacks, with passwords and memberships; others stay as they are.

    Raises:
        OperationFailed: one cannot be created or become a member (who granted that may not do so here); then none is.
    """
    text = source.globals_sql()
    with server.connect(application=APPLICATION) as connection, unconverted(connection):
        present = {row[0] for row in connection.execute("SELECT rolname FROM pg_catalog.pg_roles")}
    absent = tuple(role for role in facts_of(source.body).roles if role not in present)
    if not absent:
        return ()
    done = run_here(
        commands.psql_argv(programs, server.settings.maintenance_database),
        env=server.restoring_environment(APPLICATION),
        timeout=_SECONDS,
        stdin=to_bytes(f"BEGIN;\n{only_roles(text, absent)}COMMIT;\n"),
    )
    if done.code:
        raise OperationFailed(
            f"The roles {', '.join(absent)} could not be created, so none was: {told(done.stderr)}; change that on "
            f"{server.address} or create them there, then restore again."
        )
    return absent
