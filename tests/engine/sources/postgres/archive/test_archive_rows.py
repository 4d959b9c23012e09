"""Rows taken out of an archive are those that pg_restore takes out of it, however it comes."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from engine.sources.postgres.archive.archive_rows import rows_of_archive
from engine.sources.postgres.archive.table_data import Rows, rows_of
from engine.sources.postgres.archive.toc import NUMBER, ROWS, DataEntry, DataPlan, number
from engine.sources.postgres.scratch.instance import Instance
from engine.streams.pack import CHUNK
from tests.engine.sources.postgres.archive.archives import SQL, Archive, dumped, load


@pytest.fixture
def archive(postgres_server: Instance, fresh_database: str, tmp_path: Path) -> Archive:
    load(postgres_server, fresh_database, SQL)
    return dumped(postgres_server, fresh_database, tmp_path / "archive")


def cut(data: bytes, *lengths: int) -> Iterator[bytes]:
    """Pieces of these lengths, one of them at a time, chosen by chance."""
    chance, at = random.Random(len(lengths)), 0  # noqa: S311 - no secret
    while at < len(data):
        length = chance.choice(lengths)
        yield data[at : at + length]
        at += length


def gathered(rows: Iterable[Rows]) -> dict[bytes, bytes]:
    found: defaultdict[bytes, bytes] = defaultdict(bytes)
    for one in rows:
        assert one.data and one.unfinished == (not one.data.endswith(b"\n"))
        found[one.copy.statement] += one.data
    return dict(found)


@pytest.mark.parametrize("lengths", [(1 << 20,), (997,), (1, 5, 17, 100_000), (4, 6)])
def test_they_are_what_pg_restore_prints(archive: Archive, lengths: tuple[int, ...]) -> None:
    expected = gathered(rows_of([archive.sql("--data-only")]))
    assert len(expected) >= 7  # chance says whether each leaf has rows
    assert sum(map(len, expected.values())) > 1_000_000
    _, composed, _, _ = archive.composed()

    for data in (archive.data, composed):
        assert gathered(rows_of_archive(cut(data, *lengths), archive.plan, b"")) == expected


def test_many_rows_come_at_once(archive: Archive) -> None:
    rows = list(rows_of_archive(cut(archive.data, CHUNK), archive.plan, b"SET x = 1;"))
    assert len(rows) < 20  # of 20,039, each a piece of its own
    assert {one.copy.settings for one in rows} == {b"SET x = 1;"}


def test_an_archive_that_ends_early(archive: Archive) -> None:
    data = archive.data
    for length in (len(archive.plan.head) + 1, len(data) // 2, len(data) - NUMBER.size - 1):
        with pytest.raises(BrokenPipeError, match="ends too early"):
            list(rows_of_archive(cut(data[:length], 100_000), archive.plan, b""))


def test_data_of_an_entry_that_nobody_told_of(archive: Archive) -> None:
    plan, data = archive.plan, bytearray(archive.data)
    at = len(plan.head) + 1
    data[at : at + NUMBER.size] = number(999_999)
    with pytest.raises(BrokenPipeError, match="not what its table of contents says"):
        list(rows_of_archive(cut(bytes(data), CHUNK), plan, b""))


def test_a_long_row_is_passed_on_as_it_comes() -> None:
    row, plan = (
        b"x" * (5 * CHUNK) + b"\n",
        DataPlan(b"head", (DataEntry(1, b"COPY t (a) FROM stdin;\n", b"", b"t"),)),
    )
    data = row + b"short\n\\.\n\n\n"
    archive = plan.head + bytes((ROWS,)) + number(1) + number(len(data)) + data + number(0)

    rows = list(rows_of_archive(cut(archive, CHUNK), plan, b""))
    assert max(len(one.data) for one in rows) <= 2 * CHUNK + 5
    assert b"".join(one.data for one in rows) == row + b"short\n"
    assert [one.unfinished for one in rows] == [True] * (len(rows) - 1) + [False]


def test_rows_without_their_end() -> None:
    plan = DataPlan(b"head", (DataEntry(1, b"COPY t (a) FROM stdin;\n", b"", b"t"),))
    archive = plan.head + bytes((ROWS,)) + number(1) + number(2) + b"1\n" + number(0)
    with pytest.raises(BrokenPipeError, match="the rows of t end too early"):
        list(rows_of_archive(iter([archive]), plan, b""))
