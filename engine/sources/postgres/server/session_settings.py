"""What every session and client program is set to, whatever the server, a database or a role has set."""

from __future__ import annotations

from collections.abc import Mapping

READING_SETTINGS = {
    # What a database, a role or the server may have set so that a restore is refused or reads values
    # differently from how pg_dump wrote them.
    "default_transaction_read_only": "off",
    "role": "none",
    # As a replica: triggers of events (and of logins) that are the database's own do not fire, so that a
    # log of DDL gets no rows from a restore. Constraints are checked all the same when they are added.
    "session_replication_role": "replica",
    # (Dates and intervals are read alike under every style: pg_dump writes ISO dates, and each sign of an interval.)
    "array_nulls": "on",
    "transform_null_equals": "off",
    "lc_monetary": "C",
}
RESTORING_SETTINGS = READING_SETTINGS | {
    # What an archive sets itself, from its first statement on, and what would end a session before or between them. All
    # else is the database's own: rows are checked and views refreshed as they were where they come from.
    "search_path": "",
    "row_security": "off",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "exit_on_error": "off",
    "temp_file_limit": "-1",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "lc_messages": "C",  # what may be shown of an error is told by its English words
}
FIXED_SETTINGS = RESTORING_SETTINGS | {
    # Equal values and expressions print alike under these, whatever the database or the role has set.
    "IntervalStyle": "postgres",
    "DateStyle": "ISO, YMD",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "quote_all_identifiers": "off",
}
PRIVILEGED = ("session_replication_role", "temp_file_limit", "lc_messages")
"""Of all these what only a superuser sets, or whom the server lets (GRANT SET ON PARAMETER; RDS the first one)."""
SINCE = {"idle_session_timeout": 14, "client_connection_check_interval": 14, "transaction_timeout": 17}
"""Timeouts that would end a session of ours too, and the major each came with."""


def options(settings: Mapping[str, str], major: int) -> str:
    """These settings, and the timeouts that a server of this major knows (0: any), as libpq's options."""
    known = {name: "0" for name, since in SINCE.items() if major >= since}
    return " ".join(f"-c {key}={_escaped(value)}" for key, value in {**settings, **known}.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
