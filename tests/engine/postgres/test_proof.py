"""The proof: never red after a correct restore, never green after a wrong one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from engine.postgres.compare import Difference, compare_databases
from engine.postgres.drill import DrillReport, drill
from engine.postgres.embedded import client_programs
from engine.postgres.instance import Instance
from engine.postgres.proof import DatabaseProof
from engine.postgres.replay import reprinter, restored_proof
from tests.conftest import MAJOR
from tests.engine.postgres.backups import back_up, drill_one, execute, server_of, store_in

HARD = (Path(__file__).parent / "sql" / "hard.sql").read_text(encoding="utf8")
HOSTILE_SETTINGS = {
    "TimeZone": "Asia/Kathmandu",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "row_security": "on",
    "default_transaction_read_only": "on",
    "search_path": '"--help", "DATA", pg_temp',
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "session_replication_role": "replica",
    "standard_conforming_strings": "off",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_session_timeout": "300ms",
    "idle_in_transaction_session_timeout": "300ms",
    "xmloption": "document",
    "role": "bob",
}


@pytest.fixture(scope="module")
def hard_server(postgres_server: Instance) -> Iterator[Instance]:
    """The server with a database `hard`, and settings of it that would change how anything prints."""
    execute(postgres_server, "postgres", "CREATE ROLE bob", "CREATE ROLE \"O'Hara\"", "CREATE DATABASE hard TEMPLATE template0")
    execute(postgres_server, "hard", HARD)
    for name, value in HOSTILE_SETTINGS.items():
        shown = value if name == "search_path" else f"'{value}'"
        execute(postgres_server, "postgres", f"ALTER DATABASE hard SET {name} = {shown}")
    yield postgres_server
    execute(postgres_server, "postgres", "DROP DATABASE hard WITH (FORCE)", "DROP ROLE bob, \"O'Hara\"")


def test_a_correct_restore_of_all_that_is_hard_is_never_red(hard_server: Instance, store_folder: Path) -> None:
    target = store_in(store_folder)
    made = back_up(server_of(hard_server), target, ["hard"])
    for key in (made.key("hard"), made.cluster_key):
        report = drill(target, key)
        assert (report.result, report.differences) == ("passed", ()), report.sentence
