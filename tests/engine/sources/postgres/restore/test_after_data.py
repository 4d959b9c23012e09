"""Which of the statements after an archive's data several sessions may run at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.sources.postgres.archive.archive import Head
from engine.sources.postgres.restore.after_data import after_data
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.sources.postgres.archive.archives import dumped, load

SQL = """
CREATE TABLE a (id int PRIMARY KEY, n int);
CREATE INDEX by_n ON a (n);
COMMENT ON INDEX by_n IS 'its own';
COMMENT ON INDEX a_pkey IS 'of a key';
CREATE SCHEMA "ATTACH"
    CREATE TABLE b (n int REFERENCES public.a, during int4range, EXCLUDE USING gist (during WITH &&))
    CREATE INDEX of_b ON b (n);
CREATE TABLE part (id int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF part DEFAULT;
CREATE MATERIALIZED VIEW of_key AS SELECT id, n FROM a GROUP BY id;
CREATE INDEX of_view ON of_key (n);
CREATE FUNCTION of_key() RETURNS int IMMUTABLE LANGUAGE sql BEGIN ATOMIC SELECT n FROM a GROUP BY id; END;
CREATE INDEX of_function ON "ATTACH".b ((n + of_key()));
"""


def reported(lines: Iterable[bytes]) -> list[str]:
    """Kind, schema and name, without numbers and owner."""
    return [b" ".join(line.split(b" ")[3:-1]).decode() for line in lines]


def test_only_indexes_and_keys_that_need_nothing_else(
    postgres_server: Instance, fresh_database: str, tmp_path: Path
) -> None:
    load(postgres_server, fresh_database, SQL)
    archive = dumped(postgres_server, fresh_database, tmp_path / "a")
    found = after_data(Head(archive.path, (), archive.programs), ())
    assert sorted(reported(found.indexes)) == [
        "CONSTRAINT ATTACH b b_during_excl",
        "CONSTRAINT public a a_pkey",
        "CONSTRAINT public leaf leaf_pkey",
        "CONSTRAINT public part part_pkey",
        "INDEX ATTACH of_b",
        "INDEX public by_n",
    ]
    assert sorted(reported(found.others)) == [
        "COMMENT public INDEX a_pkey",
        "COMMENT public INDEX by_n",
        "FK CONSTRAINT ATTACH b b_n_fkey",
        "FUNCTION public of_key()",
        "INDEX ATTACH of_function",
        "INDEX ATTACH public leaf_pkey",
        "INDEX public of_view",
        "MATERIALIZED VIEW DATA public of_key",
        "MATERIALIZED VIEW public of_key",
    ]


def test_what_is_built_is_left_out_and_its_comment_is_not(
    postgres_server: Instance, fresh_database: str, tmp_path: Path
) -> None:
    """Whatever stands before the comment then."""
    load(
        postgres_server,
        fresh_database,
        "CREATE TABLE a (n int); CREATE INDEX i ON a (n); COMMENT ON INDEX i IS 'x'",
    )
    archive = dumped(postgres_server, fresh_database, tmp_path / "a")
    head = Head(archive.path, (), archive.programs)
    (line,) = after_data(head, ()).indexes
    left = after_data(head, {int(line.split(b";")[0])})
    assert (left.indexes, reported(left.others)) == ((), ["COMMENT public INDEX i"])
