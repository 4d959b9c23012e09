"""Sessions of the loader, and its failures as one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from engine.errors import ConfigurationError, OperationFailed

APPLICATION_NAME = "platform-ops demo data"
Session = psycopg.Connection[tuple[Any, ...]]


def connect(conninfo: str, dbname: str | None = None) -> Session:
    """An autocommit session in `dbname`, or in the database that `conninfo` names.

    Raises:
        ConfigurationError: the server does not let us in, or `conninfo` is not a connection string.
    """
    changed = {} if dbname is None else {"dbname": dbname}
    try:
        full = make_conninfo(conninfo, application_name=APPLICATION_NAME, **changed)
        return psycopg.connect(full, autocommit=True)
    except psycopg.Error as error:
        raise ConfigurationError(
            f"The demo data cannot reach {_place(conninfo)}: {_first_line(error)}; "
            "start the server there or correct the connection settings."
        ) from None


@contextmanager
def explained(what: str, conninfo: str) -> Iterator[None]:
    """Turns a database error of the block into one sentence that says `what` was being done.

    Raises:
        OperationFailed: the block ended with a database error.
    """
    try:
        yield
    except psycopg.Error as error:
        raise OperationFailed(
            f"{what} failed on {_place(conninfo)}: {_first_line(error)}; "
            "put that right and start again, what was half done is done anew."
        ) from error


def _place(conninfo: str) -> str:
    """Where a connection string leads, without the password it may hold."""
    try:
        known = conninfo_to_dict(conninfo)
    except psycopg.Error:
        return "a server (the connection string cannot be read)"
    return f"{known.get('host') or 'the default host'}, port {known.get('port') or '(default)'}"


def _first_line(error: psycopg.Error) -> str:
    primary = error.diag.message_primary
    return primary or (str(error).strip() or type(error).__name__).splitlines()[0]
