"""Databases of other encodings beside a role whose name is bytes to them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from engine.errors import ConfigurationError
from engine.sources.postgres.restore.restore import RestoreChoice, restore_databases
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
    server_of,
    store_in,
)

OPERATOR = "운영자"
DATABASES = {"euc_kr": "EUC_KR", "latin1": "LATIN1", "bytes": "SQL_ASCII", "plain": "UTF8"}
ROLES = "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"
FILLED = {
    "euc_kr": ('CREATE TABLE "한글" ("열" text)', "INSERT INTO \"한글\" VALUES ('안녕하세요')"),
    "latin1": ('CREATE TABLE "café" (v text)', "INSERT INTO \"café\" VALUES ('naïve')"),
    "plain": ("CREATE TABLE t (a int)", f'ALTER TABLE t OWNER TO "{OPERATOR}"'),
}
MORE = (
    "CREATE TABLE parent (id int PRIMARY KEY, s text CHECK (s = ANY (ARRAY['a', 'b'])), n int GENERATED ALWAYS AS IDENTITY)",
    "INSERT INTO parent SELECT g, 'a' FROM generate_series(1, 200) AS g",
    "CREATE VIEW v AS SELECT * FROM parent WHERE s IN ('a', 'b')",
)
BYTES = (
    "CREATE TABLE bytes (v text)",
    r"INSERT INTO bytes SELECT convert_from('\xff'::bytea, 'SQL_ASCII')",
    r"""DO $$ BEGIN EXECUTE 'CREATE TABLE "caf' || convert_from('\xe9'::bytea, 'SQL_ASCII') || '" (a int PRIMARY KEY, "b'
        || convert_from('\xe9'::bytea, 'SQL_ASCII') || '" serial)'; END $$""",
    r"""DO $$ BEGIN EXECUTE 'INSERT INTO "caf' || convert_from('\xe9'::bytea, 'SQL_ASCII') || '" VALUES (1)'; END $$""",
)


@pytest.fixture(scope="module")
def source() -> Iterator[Instance]:
    with scratch_server(MAJOR, settings=LIVE) as server:
        execute(server, "postgres", f'CREATE ROLE "{OPERATOR}" LOGIN', f"COMMENT ON ROLE \"{OPERATOR}\" IS '운영'")
        for name, encoding in DATABASES.items():
            create = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
            execute(server, "postgres", create)
            execute(server, name, "SET client_encoding = 'UTF8'", *FILLED.get(name, ()), *MORE)
        with psycopg.connect(server.conninfo("bytes"), autocommit=True, client_encoding="SQL_ASCII") as connection:
            for statement in BYTES:
                connection.execute(statement.encode())
        yield server


@pytest.fixture(scope="module")
def made(source: Instance, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    return back_up(server_of(source), store_in(tmp_path_factory.mktemp("encodings")))


def test_the_cluster_set_has_the_role_and_no_other(made: Backup) -> None:
    report = drill(made.repository, made.cluster_key)
    assert (report.result, report.differences) == ("passed", ()), report.sentence
    text = plain_files(made.repository, made.cluster_key)["000-globals.sql.gz"].decode()
    assert text.count(" \\gexec\n") == 2  # of it, and of postgres
    assert f"'CREATE ROLE \"{OPERATOR}\"'" in text


@pytest.mark.parametrize("database", DATABASES)
def test_each_set_is_proven_and_restored(made: Backup, database: str, second_server: Instance) -> None:
    report = drill(made.repository, made.key(database))
    assert (report.result, report.differences) == ("passed", ()), report.sentence
    for key in (made.key(database), made.cluster_key):
        restore_databases(made.repository, server_of(second_server), [RestoreChoice(database, key)], in_place=True)
    assert execute(second_server, "postgres", ROLES) == [("postgres",), (OPERATOR,)]


def test_a_role_that_pg_dumpall_refuses(source: Instance, made: Backup) -> None:
    execute(source, "latin1", "SET client_encoding = 'UTF8'", 'CREATE ROLE "é"')  # one byte, and no UTF-8
    try:
        with pytest.raises(
            ConfigurationError, match=r"^The role b'\\xe9' of platform .* is no UTF-8, which pg_dumpall ref"
        ):
            back_up(server_of(source), made.repository, ["plain"], cluster=False)
    finally:
        execute(source, "latin1", "SET client_encoding = 'UTF8'", 'DROP ROLE "é"')


def test_a_role_that_a_database_s_file_makes_is_seen(made: Backup) -> None:
    """The roles are compared again when all files were run."""
    name = next(name for name in plain_files(made.repository, made.cluster_key) if "plain" in name and "sql" in name)
    edited = repacked(
        made.repository,
        made.cluster_key,
        {name: replaced("CREATE TABLE public.t", "CREATE ROLE more; CREATE TABLE public.t")},
    )
    report = drill(made.repository, edited)
    assert [(one.kind, one.name) for one in report.differences] == [("role", "more")]
