"""A real pg_dump's archive of hostile names and rows, and what is composed from it."""

from __future__ import annotations

import gzip
import io
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from engine.sources.postgres.archive.splice import Composed, compose
from engine.sources.postgres.archive.toc import DataPlan, data_plan
from engine.sources.postgres.programs.installed import client_programs
from engine.sources.postgres.scratch.instance import Instance
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


class Kept(io.BytesIO):
    """A sink that can be read after it was closed."""

    def close(self) -> None:
        pass


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

    def sql(self, *options: str) -> bytes:
        argv = [str(self.programs / "pg_restore"), "--file=-", *options, str(self.path)]
        return subprocess.run(argv, capture_output=True, check=True).stdout

    def composed(self, source: Callable[[bytes], io.BytesIO] = io.BytesIO) -> tuple[Composed, bytes, bytes, bytes]:
        """What was told, the archive and the SQL that came out, and the SQL that went in."""
        dump, text, composed, sql = Kept(), Kept(), Composed(), self.sql()
        compose(self.plan, b"-- before\n", source(sql), dump, text, composed)
        return composed, gzip.decompress(dump.getvalue()), gzip.decompress(text.getvalue()), sql


def load(server: Instance, database: str, sql: str) -> None:
    with psycopg.connect(server.conninfo(database), autocommit=True) as connection:
        connection.execute(sql.encode())


def dumped(server: Instance, database: str, path: Path, *options: str, major: int = MAJOR) -> Archive:
    programs = client_programs(major)
    argv = [str(programs / "pg_dump"), "-Fc", "-Z0", *options, "-d", server.conninfo(database)]
    # Through a pipe: into a file, pg_dump goes back and fills in where its data is.
    path.write_bytes(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)
    return Archive(path, programs)
