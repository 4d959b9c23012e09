"""The archive that is composed from its own SQL is the archive that pg_dump wrote."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from engine.sources.postgres.archive.splice import Composed, compose
from engine.sources.postgres.archive.sql_scanner import Doubt
from engine.sources.postgres.archive.toc import NUMBER, data_plan
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.sources.postgres.archive.archives import SQL, Archive, Kept, dumped, load

ROWS = {
    "plain": 20000, "without_rows": 0, "without_columns": 3, "empty_lines": 7, 'odd " name': 2,
    "name\nCOPY public.plain (id, t, j) FROM stdin;": 1, "paint": 4, "generated": 2,
}  # fmt: skip


class Trickle(io.BytesIO):
    """A source that gives a few bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 1, 997) if size and size > 0 else size)


def contents(archive: bytes) -> tuple[bytes, list[tuple[int, int, dict[int, bytes]]]]:
    """An archive's head, and of each block of data its kind, its entry and what it holds (of large objects: each)."""
    plan = data_plan(archive)
    assert plan is not None
    source = io.BytesIO(archive[len(plan.head) :])

    def integer() -> int:
        sign, *rest = source.read(NUMBER.size)
        assert sign == 0
        return int.from_bytes(bytes(rest), "little")

    def pieces() -> bytes:
        return b"".join(source.read(size) for size in iter(integer, 0))

    blocks = []
    while kind := source.read(1):
        number = integer()
        parts = {oid: pieces() for oid in iter(integer, 0)} if kind == b"\3" else {0: pieces()}
        blocks.append((kind[0], number, parts))
    return plan.head, blocks


@pytest.fixture
def archive(postgres_server: Instance, fresh_database: str, tmp_path: Path) -> Archive:
    load(postgres_server, fresh_database, SQL)
    return dumped(postgres_server, fresh_database, tmp_path / "archive")


def test_it_is_the_archive_that_was_dumped(archive: Archive) -> None:
    composed, dump, text, sql = archive.composed()

    assert composed.whole
    assert contents(dump) == contents(archive.data)
    assert text == b"-- before\n" + sql
    assert composed.archive_bytes == len(dump)
    assert (len(archive.data) - len(dump)) % NUMBER.size == 0


def test_it_counts_the_rows(archive: Archive) -> None:
    counted = {name.decode().partition("_0")[0]: rows for (_, name), rows in archive.composed()[0].rows.items()}
    leaves = counted.pop("paint_1")
    assert counted | {"paint": counted["paint"] + leaves} == ROWS


def test_pieces_of_any_size_give_the_same(archive: Archive) -> None:
    _, dump, text, sql = archive.composed(Trickle)

    assert contents(dump) == contents(archive.data)
    assert text == b"-- before\n" + sql


def test_the_newest_client_s_archive(postgres_server: Instance, fresh_database: str, tmp_path: Path) -> None:
    load(postgres_server, fresh_database, SQL)
    archive = dumped(postgres_server, fresh_database, tmp_path / "newest", major=18)
    assert archive.data[5:7] == b"\x01\x10"  # 1.16; large objects of other owners are entries of their own
    _, dump, text, sql = archive.composed()

    assert contents(dump) == contents(archive.data)
    assert len([kind for kind, _, _ in contents(dump)[1] if kind == 3]) == 2
    assert text == b"-- before\n" + sql


def test_it_restores_with_stock_tools(
    archive: Archive, postgres_server: Instance, new_database: Callable[..., str], tmp_path: Path
) -> None:
    _, dump, text, _ = archive.composed()
    by_psql, by_pg_restore = new_database(), new_database()
    path = tmp_path / "composed"
    path.write_bytes(dump)

    psql = [str(archive.programs / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", postgres_server.conninfo(by_psql)]
    subprocess.run(psql, input=text, check=True, stdout=subprocess.DEVNULL)
    restore = [str(archive.programs / "pg_restore"), "-e", "-j2"]
    subprocess.run([*restore, "-d", postgres_server.conninfo(by_pg_restore), str(path)], check=True)

    for database in (by_psql, by_pg_restore):
        with psycopg.connect(postgres_server.conninfo(database)) as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM plain), (SELECT count(*) FROM without_columns), (SELECT count(*) FROM paint),"
                " (SELECT sum(length(lo_get(oid))) FROM pg_largeobject_metadata)"
            ).fetchone()
        assert row == (20000, 3, 4, 180004)


def test_sql_that_ends_too_early_makes_nothing_whole(archive: Archive) -> None:
    sql = archive.sql()
    composed = Composed()
    with pytest.raises(BrokenPipeError):
        compose(archive.plan, b"", io.BytesIO(sql[: len(sql) // 2]), Kept(), Kept(), composed)
    assert not composed.whole


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"COPY public.plain (id, t, j) FROM stdin;\n1\t", b"COPY public.plain (id, t) FROM stdin;\n1\t"),
        (b"\nBEGIN;\n\nSELECT pg_catalog.lo_open('700001'", b"\nBEGIN;\nSELECT pg_catalog.lo_open('700001'"),
        (b"lowrite(0, '\\xdeadbeef')", b"lowrite(0, 'deadbeef')"),
    ],
)
def test_sql_of_another_form_is_in_doubt(archive: Archive, old: bytes, new: bytes) -> None:
    sql, composed = archive.sql(), Composed()
    assert old in sql
    with pytest.raises(Doubt):
        compose(archive.plan, b"", io.BytesIO(sql.replace(old, new)), Kept(), Kept(), composed)
    assert not composed.whole


def test_what_could_pass_for_data_gives_no_plan(postgres_server: Instance, fresh_database: str, tmp_path: Path) -> None:
    load(postgres_server, fresh_database, "CREATE TABLE t (a text)")
    assert data_plan(dumped(postgres_server, fresh_database, tmp_path / "plain").data) is not None
    load(
        postgres_server,
        fresh_database,
        "COMMENT ON TABLE t IS 'x\n--\n-- Data for Name: t; Type: TABLE DATA'",
    )

    assert data_plan(dumped(postgres_server, fresh_database, tmp_path / "like").data) is None


def test_what_is_not_understood_gives_no_plan(postgres_server: Instance, fresh_database: str, tmp_path: Path) -> None:
    plain = dumped(postgres_server, fresh_database, tmp_path / "plain").data
    packed = dumped(postgres_server, fresh_database, tmp_path / "packed", "-Z1").data

    assert data_plan(plain) is not None
    assert data_plan(packed) is None
    assert data_plan(plain[:-100]) is None
    assert data_plan(b"") is None
    assert data_plan(b"PGDMQ" + plain[5:]) is None
    assert data_plan(plain[:5] + b"\x01\x63" + plain[7:]) is None


def test_rows_that_are_no_copy_give_no_plan(postgres_server: Instance, fresh_database: str, tmp_path: Path) -> None:
    load(postgres_server, fresh_database, "CREATE TABLE t (a text)")
    assert data_plan(dumped(postgres_server, fresh_database, tmp_path / "a", "--inserts").data) is None
