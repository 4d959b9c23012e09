"""The archive that is composed from its own SQL is the archive that pg_dump wrote."""

from __future__ import annotations

import gzip
import io
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from engine.postgres.composing import Composed, Doubt, compose
from engine.postgres.embedded import client_programs
from engine.postgres.instance import Instance
from engine.postgres.toc import NUMBER, DataPlan, data_plan
from tests.conftest import MAJOR

SQL = r"""
CREATE TABLE plain (id serial PRIMARY KEY, t text, j jsonb);
INSERT INTO plain (t, j) SELECT repeat('row ', i % 50) || E'\\.\n\t' || i, jsonb_build_object('n', i) FROM generate_series(1, 20000) AS i;
CREATE TABLE without_rows (a integer, b text);
CREATE TABLE without_columns ();
INSERT INTO without_columns SELECT FROM generate_series(1, 3);
CREATE TABLE empty_lines (a text);
INSERT INTO empty_lines VALUES (''), (E'\\.'), (''), (''), (E'\\.'), (''), ('');
CREATE TABLE "odd "" name" ("new
line" text, "COPY x FROM stdin;" text);
INSERT INTO "odd "" name" VALUES (E'\\.', E'a\n\\.\n\n\nb'), (NULL, '');
CREATE TABLE "name
COPY public.plain (id, t, j) FROM stdin;" (a serial);
INSERT INTO "name
COPY public.plain (id, t, j) FROM stdin;" DEFAULT VALUES;
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TABLE paint (colour colour) PARTITION BY HASH (colour);
CREATE TABLE paint_0 PARTITION OF paint FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE paint_1 PARTITION OF paint FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO paint VALUES ('red'), ('green'), ('blue'), ('red');
CREATE TABLE generated (a integer, b integer GENERATED ALWAYS AS (a * 2) STORED, c integer GENERATED ALWAYS AS IDENTITY);
INSERT INTO generated (a) VALUES (1), (2);
CREATE FUNCTION looks_like_data() RETURNS text LANGUAGE sql AS $$ SELECT '
COPY public.plain (id, t, j) FROM stdin;
1	x	{}
\.


BEGIN;

SELECT pg_catalog.lo_open(''1'', 131072);
' $$;
CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM plain;
CREATE INDEX ON plain (t);
SELECT lo_from_bytea(700001, ''), lo_from_bytea(700002, '\xdeadbeef'), lo_from_bytea(700003, decode(repeat('00ff5c', 60000), 'hex'));
COMMENT ON LARGE OBJECT 700002 IS 'a
COMMIT;
';
GRANT SELECT ON LARGE OBJECT 700003 TO PUBLIC;
"""
ROWS = {
    "plain": 20000, "without_rows": 0, "without_columns": 3, "empty_lines": 7, 'odd " name': 2,
    "name\nCOPY public.plain (id, t, j) FROM stdin;": 1, "paint": 4, "generated": 2,
}  # fmt: skip


class Kept(io.BytesIO):
    """A sink that can be read after it was closed."""

    def close(self) -> None:
        pass


class Trickle(io.BytesIO):
    """A source that gives a few bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 1, 997) if size and size > 0 else size)


@dataclass(frozen=True)
class Archive:
    """A real pg_dump's archive and the tools it came from."""

    path: Path
    programs: Path

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def plan(self) -> DataPlan:
        plan = data_plan(self.data)
        assert plan is not None
        return plan

    def sql(self) -> bytes:
        argv = [str(self.programs / "pg_restore"), "--file=-", str(self.path)]
        return subprocess.run(argv, capture_output=True, check=True).stdout

    def composed(
        self, source: Callable[[bytes], io.BytesIO] = io.BytesIO
    ) -> tuple[Composed, bytes, bytes, bytes]:
        """What was told, the archive and the SQL that came out, and the SQL that went in."""
        dump, text, composed, sql = Kept(), Kept(), Composed(), self.sql()
        compose(self.plan, b"-- before\n", source(sql), dump, text, composed)
        return composed, gzip.decompress(dump.getvalue()), gzip.decompress(text.getvalue()), sql


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


def load(server: Instance, database: str, sql: str) -> None:
    with psycopg.connect(server.conninfo(database), autocommit=True) as connection:
        connection.execute(sql.encode())


def dumped(server: Instance, database: str, path: Path, *options: str, major: int = MAJOR) -> Archive:
    programs = client_programs(major)
    argv = [str(programs / "pg_dump"), "-Fc", "-Z0", *options, "-d", server.conninfo(database)]
    # Through a pipe: into a file, pg_dump goes back and fills in where its data is.
    path.write_bytes(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)
    return Archive(path, programs)


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
    counted = {
        name.decode().partition("_0")[0]: rows for (_, name), rows in archive.composed()[0].rows.items()
    }
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


def test_what_could_pass_for_data_gives_no_plan(
    postgres_server: Instance, fresh_database: str, tmp_path: Path
) -> None:
    load(postgres_server, fresh_database, "CREATE TABLE t (a text)")
    assert data_plan(dumped(postgres_server, fresh_database, tmp_path / "plain").data) is not None
    load(
        postgres_server,
        fresh_database,
        "COMMENT ON TABLE t IS 'x\n--\n-- Data for Name: t; Type: TABLE DATA'",
    )

    assert data_plan(dumped(postgres_server, fresh_database, tmp_path / "like").data) is None


def test_what_is_not_understood_gives_no_plan(
    postgres_server: Instance, fresh_database: str, tmp_path: Path
) -> None:
    plain = dumped(postgres_server, fresh_database, tmp_path / "plain").data
    packed = dumped(postgres_server, fresh_database, tmp_path / "packed", "-Z1").data

    assert data_plan(plain) is not None
    assert data_plan(packed) is None
    assert data_plan(plain[:-100]) is None
    assert data_plan(b"") is None
    assert data_plan(b"PGDMQ" + plain[5:]) is None
    assert data_plan(plain[:5] + b"\x01\x63" + plain[7:]) is None


def test_rows_that_are_no_copy_give_no_plan(
    postgres_server: Instance, fresh_database: str, tmp_path: Path
) -> None:
    load(postgres_server, fresh_database, "CREATE TABLE t (a text)")
    assert data_plan(dumped(postgres_server, fresh_database, tmp_path / "a", "--inserts").data) is None
