"""Loads the demo's data into a PostgreSQL 16 server.

A database is filled under another name and renamed when it is complete: whatever kills the loader,
`kohub` either is not there or has all its rows, and the next call drops what was left half done.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import LiteralString

from psycopg import sql

from demo.dataset.contents import DATABASES, Database, steps
from demo.dataset.session import Session, connect, explained
from engine.errors import ConfigurationError

LOADING_PREFIX = "demo_loading_"
MARKER = "platform-ops demo data"
_LOCK = 0x64656D6F  # "demo", as an advisory lock's number
Progress = Callable[[str], None]


def load(
    conninfo: str,
    *,
    scale: float = 1.0,
    databases: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Load the demo's roles and databases; one that is there already is left as it is.

    Args:
        conninfo: a libpq connection string to the server's maintenance database, as a superuser.
        scale: factor of the row counts of the big tables; 1 is about 260 MB, 0.01 loads in seconds.
        databases: names out of `contents.DATABASES`; None means all of them.
        progress: is given one line for each step, by one thread at a time.

    Raises:
        ConfigurationError: an unknown database, an impossible scale, no way in, a server older than 16
            or one with a role `keycloak` that is not the demo's.
        OperationFailed: the server refused a statement.
    """
    wanted = _chosen(databases)
    if not (math.isfinite(scale) and scale > 0):
        raise ConfigurationError(f"The demo's scale is {scale}; give a number above 0, 1 is about 260 MB.")
    report = _one_at_a_time(progress or (lambda line: None))
    with connect(conninfo) as maintenance, explained("Loading the demo data", conninfo):
        _refuse_foreign_server(maintenance)
        # Lives as long as this session: a second loader waits, a killed one holds nobody up.
        maintenance.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        _run(maintenance, "roles.sql", "roles", report)
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="demo-data") as pool:
            loads = [pool.submit(_load_one, maintenance, conninfo, one, scale, report) for one in wanted]
            _await(loads)


def _await(loads: list[Future[None]]) -> None:
    try:
        for each in loads:
            each.result()
    except BaseException:
        for each in loads:
            each.cancel()
        raise


def _chosen(names: Sequence[str] | None) -> list[Database]:
    known = [database.name for database in DATABASES]
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise ConfigurationError(f"The demo has no database {', '.join(unknown)}; choose from {', '.join(known)}.")
    return [database for database in DATABASES if names is None or database.name in names]


def _one_at_a_time(progress: Progress) -> Progress:
    lock = threading.Lock()

    def report(line: str) -> None:
        with lock:
            progress(line)

    return report


def _refuse_foreign_server(maintenance: Session) -> None:
    """The demo sets passwords and settings of roles called `keycloak`: never on somebody's real server."""
    if maintenance.info.server_version < 160000:
        raise ConfigurationError(
            f"The demo data needs PostgreSQL 16 or newer and this server is "
            f"{maintenance.info.parameter_status('server_version')}; start a newer one."
        )
    row = maintenance.execute(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'keycloak'"
    ).fetchone()
    if row is not None and "platform-ops demo" not in (row[0] or ""):
        raise ConfigurationError(
            "This server has a role keycloak that the demo did not make, so it may be a real platform's; "
            "load the demo data into an empty server."
        )


def _load_one(maintenance: Session, conninfo: str, database: Database, scale: float, report: Progress) -> None:
    if _exists(maintenance, database.name):
        report(f"{database.name}: already there")
        return
    loading = LOADING_PREFIX + database.name
    maintenance.execute(_on("DROP DATABASE IF EXISTS {} WITH (FORCE)", loading))
    maintenance.execute(_create(loading, database))
    if database.script is not None:
        with connect(conninfo, loading) as session:
            session.execute("SELECT set_config('demo.scale', %s, false)", [f"{scale:.6f}"])
            _run(session, "prelude.sql", database.name, None)
            _run(session, database.script, database.name, report)
    comment = sql.Literal(f"{MARKER}, scale {scale:g}")
    maintenance.execute(_on("COMMENT ON DATABASE {} IS {}", loading, comment))
    maintenance.execute(_on("ALTER DATABASE {} RENAME TO {}", loading, sql.Identifier(database.name)))
    report(f"{database.name}: loaded")


def _exists(maintenance: Session, name: str) -> bool:
    return maintenance.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def _create(loading: str, database: Database) -> sql.Composed:
    created = _on(
        "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'",
        loading,
        sql.Identifier(database.owner),
    )
    return created if database.locale is None else created + sql.SQL(" LOCALE ") + sql.Literal(database.locale)


def _on(statement: LiteralString, name: str, *more: sql.Composable) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(name), *more)


def _run(session: Session, file: str, subject: str, report: Progress | None) -> None:
    """Run a script step by step."""
    for step in steps(file):
        if report is not None:
            report(f"{subject}: {step.title}")
        with explained(f"Loading {subject} ({step.title})", session.info.dsn):
            session.execute(step.statements)
