"""A small day's work on the demo's data, so that tonight's backup differs from yesterday's."""

from __future__ import annotations

from demo.dataset.contents import DATABASES, script
from demo.dataset.session import connect, explained
from engine.errors import ConfigurationError


def change(conninfo: str) -> None:
    """Insert, update and delete a few hundred rows of each loaded database and draw from sequences.

    What it writes follows from what is there alone: no clock, no chance. Each database changes in one
    transaction.

    Args:
        conninfo: a libpq connection string to the server's maintenance database, as a superuser.

    Raises:
        ConfigurationError: no way in, or nothing of the demo's is loaded there.
        OperationFailed: the server refused a statement.
    """
    with connect(conninfo) as maintenance, explained("Changing the demo data", conninfo):
        present = {name for (name,) in maintenance.execute("SELECT datname FROM pg_database")}
    due = [database for database in DATABASES if database.changes and database.name in present]
    if not due:
        raise ConfigurationError("This server holds no demo data to change; load it first.")
    for database in due:
        with connect(conninfo, database.name) as session, explained(f"Changing {database.name}", conninfo):
            session.execute(script(database.changes or "").encode())
