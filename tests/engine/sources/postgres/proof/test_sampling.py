"""A sampled proof: every row counted, some compared; what comes of it is called a sample everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.repository.catalogue import catalogue
from engine.repository.manifest import read_manifest
from engine.repository.verdicts import remarks
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.proof.take_proof import take_proof
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from tests.conftest import LIVE, MAJOR
from tests.engine.sources.postgres.backups import (
    Backup,
    back_up,
    drill,
    execute,
    plain_files,
    repacked,
    replaced,
    run_script,
    server_of,
    store_in,
)

ROWS = 60


@pytest.fixture(scope="module")
def source() -> Iterator[Instance]:
    """A server of one database, `app`; `keyed` has a key of two columns, `plain` has none."""
    with scratch_server(MAJOR, settings=LIVE) as server:
        execute(server, "postgres", "CREATE DATABASE app")
        run_script(server, "app", f"""
            SELECT lo_unlink(lo_create(0)) FROM generate_series(1, 5);  -- other oids than a restore gives
            CREATE TYPE colour AS ENUM ({", ".join(f"'c{i}'" for i in range(16))});
            CREATE TABLE keyed (note text, id int, "Part" text, PRIMARY KEY ("Part", id) INCLUDE (note));
            INSERT INTO keyed SELECT 'note ' || i, i, 'p' FROM generate_series(1, {ROWS}) AS i;
            CREATE TABLE plain (id int, note text); INSERT INTO plain SELECT i, 'plain ' || i FROM generate_series(1, 5) AS i;
            CREATE TABLE tree (c colour, id int, PRIMARY KEY (c, id)) PARTITION BY HASH (c);
            CREATE TABLE tree_0 PARTITION OF tree FOR VALUES WITH (MODULUS 2, REMAINDER 0);
            CREATE TABLE tree_1 PARTITION OF tree FOR VALUES WITH (MODULUS 2, REMAINDER 1);
            INSERT INTO tree SELECT c, i FROM unnest(enum_range(NULL::colour)) AS c, generate_series(1, 9) AS i;
            CREATE TABLE leaves (c colour NOT NULL, id int NOT NULL) PARTITION BY HASH (c);
            CREATE TABLE leaves_0 PARTITION OF leaves (PRIMARY KEY (id, c)) FOR VALUES WITH (MODULUS 2, REMAINDER 0);
            CREATE TABLE leaves_1 PARTITION OF leaves FOR VALUES WITH (MODULUS 2, REMAINDER 1);
            INSERT INTO leaves SELECT c, id FROM tree;
        """)  # fmt: skip
        yield server


@pytest.fixture(scope="module")
def made(source: Instance, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    repository = store_in(tmp_path_factory.mktemp("sampled"))
    return back_up(server_of(source, proof_sample_percent=30), repository)


def sampled(source: Instance, change: str = "") -> DatabaseProof:
    """A sampled proof of `app`, after a change that is rolled back."""
    with server_of(source).connect("app", autocommit=False) as connection:
        if change:
            connection.execute(change.encode())
        proof = take_proof(connection, "app", "", {}, sample_percent=30)
        connection.rollback()
    return proof


@pytest.fixture(scope="module")
def seen(source: Instance) -> dict[bool, list[int]]:
    """Which rows of `keyed` are in the sample, by what a change of each does to the proof."""
    before = sampled(source).tables["public.keyed"]
    found: dict[bool, list[int]] = {True: [], False: []}
    for number in range(1, ROWS + 1):
        after = sampled(source, f"UPDATE public.keyed SET note = 'x' WHERE id = {number}")
        assert after.tables["public.keyed"].rows == before.rows == ROWS
        found[after.tables["public.keyed"] != before].append(number)
    return found


def test_about_so_many_rows_are_compared(seen: dict[bool, list[int]]) -> None:
    assert 8 <= len(seen[True]) <= 30  # of 60; the hash decides, so the same ones each time


def test_every_row_is_counted_and_tables_without_a_key_are_hashed_whole(source: Instance) -> None:
    before = sampled(source)
    for number in range(1, 6):
        change = f"UPDATE public.plain SET note = 'x' WHERE id = {number}"
        assert sampled(source, change).tables["public.plain"].hash != before.tables["public.plain"].hash
    for number in (1, 2, 3):
        change = f"DELETE FROM public.keyed WHERE id = {number}"
        assert sampled(source, change).tables["public.keyed"].rows == ROWS - 1


def test_a_drill_that_finds_nothing_is_called_a_sample(made: Backup) -> None:
    for key in (made.cluster_key, made.key("app")):
        assert read_manifest(made.repository, key).sample_percent == 30
        report = drill(made.repository, key)
        assert (report.result, report.verdict, report.differences) == ("sampled", "sampled", ()), report.sentence
        assert "only 30 % was compared" in report.sentence
        stored = catalogue(made.repository)
        assert stored.newest(key.asset, "newest-proven") is None
        assert {one.state for one in stored.sets} == {"recorded"}
        assert remarks(stored.verdicts)[key] == "sampled"


@pytest.mark.parametrize(("inside", "result"), [(True, "failed"), (False, "sampled")])
def test_a_changed_row_is_seen_inside_the_sample_only(
    made: Backup, seen: dict[bool, list[int]], inside: bool, result: str
) -> None:
    number = seen[inside][0]
    names = plain_files(made.repository, made.cluster_key)
    [name] = [name for name in names if name.endswith("-app.sql.gz")]
    edit = replaced(f"note {number}\t{number}\tp\n", f"nota {number}\t{number}\tp\n")
    report = drill(made.repository, repacked(made.repository, made.cluster_key, {name: edit}))
    assert report.result == result, report.sentence
    assert [one.name for one in report.differences] == (["public.keyed"] if inside else [])


def test_a_lost_row_outside_the_sample_is_seen(made: Backup, seen: dict[bool, list[int]]) -> None:
    number = seen[False][0]
    [name] = [name for name in plain_files(made.repository, made.cluster_key) if name.endswith("-app.sql.gz")]
    edit = replaced(f"note {number}\t{number}\tp\n", "")
    report = drill(made.repository, repacked(made.repository, made.cluster_key, {name: edit}))
    [difference] = report.differences
    assert difference.found.startswith(f"{ROWS - 1} rows")


def test_where_every_row_is_compared_nothing_changes(source: Instance, tmp_path: Path) -> None:
    made = back_up(server_of(source), store_in(tmp_path), ["app"], cluster=False)
    assert drill(made.repository, made.key("app")).result == "passed"
