"""What an archive's table of contents tells about its indexes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import TransientFailure
from engine.sources.postgres.archive import archive
from engine.sources.postgres.programs.installed import client_programs
from engine.sources.postgres.restore.load.job import sort_memory
from engine.sources.postgres.scratch.instance import Instance
from tests.conftest import MAJOR
from tests.engine.sources.postgres.archive.archives import dumped, load

SQL = """
CREATE TABLE t (id int PRIMARY KEY, name text, words tsvector, during int4range);
CREATE INDEX by_name ON t (name);
CREATE INDEX commented ON t (id, name);
COMMENT ON INDEX commented IS 'which comes later';
CREATE INDEX by_function ON t (lower(name));
"""


def test_plain_indexes(postgres_server: Instance, fresh_database: str, tmp_path: Path) -> None:
    load(postgres_server, fresh_database, SQL)
    plan = dumped(postgres_server, fresh_database, tmp_path / "a").plan
    reported = [(index.table, index.statement.split(b"\n")[-2]) for index in plan.indexes]
    assert reported == [
        (b"public.t", b"    ADD CONSTRAINT t_pkey PRIMARY KEY (id);"),
        (b"public.t", b"CREATE INDEX by_name ON public.t USING btree (name);"),
        (b"public.t", b"CREATE INDEX commented ON public.t USING btree (id, name);"),
    ]
    assert plan.only_sorts


OWN_ORDER = """
CREATE TYPE level AS ENUM ('low', 'high');
CREATE FUNCTION compare(level, level) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 0; END';
CREATE OPERATOR CLASS levels DEFAULT FOR TYPE level USING btree AS FUNCTION 1 compare(level, level);
CREATE TABLE task (level level);
CREATE INDEX by_level ON task (level);
"""


def test_no_index_is_plain_where_a_type_may_have_an_order_of_ones_own(
    postgres_server: Instance, fresh_database: str, tmp_path: Path
) -> None:
    """Its functions may read a table that is not in yet, and the index does not name it."""
    load(postgres_server, fresh_database, OWN_ORDER)
    assert dumped(postgres_server, fresh_database, tmp_path / "a").plan.indexes == ()


@pytest.mark.parametrize(
    "more",
    [
        "CREATE INDEX ON t USING gin (words)",
        "ALTER TABLE t ADD EXCLUDE USING gist (during WITH &&)",
        "CREATE MATERIALIZED VIEW m AS SELECT 1",
    ],
)
def test_what_wants_memory_for_something_else(
    more: str, postgres_server: Instance, fresh_database: str, tmp_path: Path
) -> None:
    load(postgres_server, fresh_database, f"{SQL}; {more}")
    assert not dumped(postgres_server, fresh_database, tmp_path / "a").plan.only_sorts


def test_a_head_that_is_not_read_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "head")
    monkeypatch.setattr(archive, "_TOOL_SECONDS", 0.6)
    with pytest.raises(TransientFailure, match=r"pg_restore took longer than 1 s and was ended; look at"):
        archive.Head(tmp_path / "head", (), client_programs(MAJOR)).schema()


@pytest.mark.parametrize("size", [0, 2**20, 2**30, 10 * 2**30, 2**40])
def test_one_pass_merges_all_runs_of_an_index(size: int) -> None:
    memory = sort_memory(size, most=2**30)
    assert memory >= 4096
    runs = size / 1024 / memory
    assert runs * 264 <= memory + 264
    assert sort_memory(size, most=8192) <= 8192
