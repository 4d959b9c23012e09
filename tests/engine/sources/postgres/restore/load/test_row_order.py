"""Whether a row that is loaded may read another table: only what the database itself made is asked."""

from __future__ import annotations

import pytest

from engine.sources.postgres.restore.load.row_order import rows_have_an_order
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.sources.postgres.archive.archives import load
from tests.engine.sources.postgres.backups import server_of

SQL = """
CREATE EXTENSION vector;
CREATE FUNCTION own(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
CREATE FUNCTION alike(int, int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = alike);
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE FUNCTION moods(mood, mood) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 0; END';
CREATE OPERATOR CLASS moods DEFAULT FOR TYPE mood USING btree AS FUNCTION 1 moods(mood, mood);
CREATE TABLE plain (id int PRIMARY KEY, at vector CHECK (vector_dims(at) = 2), n int CHECK (abs(n) < 9), m int DEFAULT own(1)::int,
    doubled int GENERATED ALWAYS AS (n * 2) STORED);
CREATE INDEX ON plain (own(id));
CREATE VIEW seen AS SELECT own(id) FROM plain;
"""


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", False),
        ("ALTER TABLE plain ADD CHECK (own(n))", True),
        ("ALTER TABLE plain ADD CHECK (n === 1)", True),
        ("CREATE DOMAIN checked AS int CHECK (own(VALUE))", True),
        ("ALTER TABLE plain ADD told bool GENERATED ALWAYS AS (own(n)) STORED", True),
        ("CREATE TABLE parted (n int) PARTITION BY LIST (own(n))", True),
        ("CREATE TYPE between AS RANGE (subtype = mood, subtype_opclass = moods)", True),
    ],
)
def test_what_calls_a_function_of_the_database(
    more: str, expected: bool, postgres_server: Instance, fresh_database: str
) -> None:
    load(postgres_server, fresh_database, SQL + more)
    assert rows_have_an_order(server_of(postgres_server), fresh_database) is expected
