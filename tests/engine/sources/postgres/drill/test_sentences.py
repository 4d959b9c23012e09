"""What a set's own rows, or the code in it, make a restore say: the reason, never a value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import OperationFailed
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.sources.postgres.restore.restore import RestoreChoice, restore_databases
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.sources.postgres.backups import back_up, drill, execute, read, server_of, store_in

CANARY = "CANARY"
PATIENT = (
    "CREATE TABLE patient (note text, seen bool, CONSTRAINT in_time CHECK (current_setting('a.b', true) IS NOT NULL))",
    "ALTER DATABASE {0} SET a.b = 'on'",
    "SET a.b = 'on'",
    "INSERT INTO patient VALUES (E'see below\\n\\nCANARY-77 is here\\nCommand was: CANARY-78', true)",
    "ALTER DATABASE {0} RESET a.b",
)
"""A row that its own check refuses in a restore."""
VISIT = (
    "CREATE TABLE place (address text PRIMARY KEY)",
    "CREATE TABLE visit (address text REFERENCES place)",
    "ALTER TABLE visit DISABLE TRIGGER ALL",
    "INSERT INTO visit VALUES (E'first line\\nCANARY-79 second line')",
)
LONG = (
    "CREATE TABLE t (a int)",
    "CREATE FUNCTION reads() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t'",
    "CREATE MATERIALIZED VIEW late AS SELECT reads() AS a, $$"
    + "\n".join(f"CANARY in line {number}" for number in range(60))
    + "$$ AS b",
)
"""A statement of many lines that fails in a restore: its function finds no table."""


def refused(database: str, repository: Repository, key: SetKey, goal: Instance) -> str:
    with pytest.raises(OperationFailed) as caught:
        restore_databases(repository, server_of(goal), [RestoreChoice(database, key)])
    return str(caught.value)


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (PATIENT, 'new row for relation "patient" violates check constraint "in_time"'),
        (VISIT, 'violates foreign key constraint "visit_address_fkey"'),
        (LONG, 'relation "t" does not exist'),
    ],
)
def test_the_reason_and_never_a_value(
    postgres_server: Instance,
    second_server: Instance,
    new_database: Callable[..., str],
    store_folder: Path,
    statements: tuple[str, ...],
    reason: str,
) -> None:
    database, repository = new_database(), store_in(store_folder)
    execute(postgres_server, database, *(statement.format(f'"{database}"') for statement in statements))
    made = back_up(server_of(postgres_server), repository, [database])
    for key in (made.key(database), made.cluster_key):
        result = drill(repository, key)
        assert result.result == "failed"
        messages = [result.model_dump_json(), refused(database, repository, key, second_server)]
        verdicts = [stored for stored in repository.store.keys("") if "verdict" in stored]
        messages += [read(repository, stored).decode() for stored in verdicts]
        assert len(messages) > 2
        for text in messages:
            assert reason in text.replace('\\"', '"')
            assert CANARY not in text
