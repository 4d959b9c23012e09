"""The proof: never red after a correct restore, never green after a wrong one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import psycopg
import pytest

from engine.sources.postgres.programs.installed import client_programs
from engine.sources.postgres.proof.compare import compare_databases, compare_roles
from engine.sources.postgres.proof.dependencies import DependencyProof, changed_dependencies
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.proof.roles import RoleProof, read_roles
from engine.sources.postgres.proof.take_proof import take_proof
from engine.sources.postgres.restore.restore import RestoreChoice, restore_databases
from engine.sources.postgres.restore.restored_proof import reprinter, restored_proof
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from tests.conftest import MAJOR
from tests.engine.sources.postgres.backups import back_up, drill, drill_one, execute, run_script, server_of, store_in

SQL = Path(__file__).parents[1] / "sql"
HOSTILE_SETTINGS = {
    "TimeZone": "Asia/Kathmandu",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "row_security": "on",
    "default_transaction_read_only": "on",
    "search_path": '"--help", "DATA", pg_temp',
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "session_replication_role": "replica",
    "standard_conforming_strings": "off",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_session_timeout": "300ms",
    "idle_in_transaction_session_timeout": "300ms",
    "xmloption": "document",
}

# What a restore may have got wrong, and what the first difference names.
WRONG_DATA = {
    "values swapped between rows": ("UPDATE item SET name = CASE id WHEN 1 THEN 'two' ELSE 'one' END WHERE id < 3", "public.item"),
    "values swapped within a row": ("UPDATE pairs SET a = b, b = a WHERE a = 1", "public.pairs"),
    "one changed row": ("UPDATE item SET note = 'z' WHERE id = 3", "public.item"),
    "a changed scale": ("UPDATE item SET price = 1.00 WHERE id = 1", "public.item"),
    "a lost minus": ("UPDATE item SET weight = 0 WHERE id = 1", "public.item"),
    "NULL became empty": ("UPDATE item SET note = '' WHERE id = 1", "public.item"),
    "a trailing blank": ("UPDATE item SET name = 'two ' WHERE id = 2", "public.item"),
    "another enum value": ("UPDATE item SET colour = 'green' WHERE id = 1", "public.item"),
    "other array bounds": ("UPDATE pairs SET words = '{a,b}'", "public.pairs"),
    "a lost row": ("DELETE FROM item WHERE id = 3", "public.item"),
    "a lost row, another twice": ("UPDATE plain SET n = 1 WHERE n = 2", "public.plain"),
    "a lost duplicate": ("UPDATE plain SET n = 2, t = 'x' WHERE ctid = (SELECT max(ctid) FROM plain)", "public.plain"),
    "rows in another partition": ("UPDATE listed SET k = 'c' WHERE k = 'a'", "public.listed_rest"),
    "a row of a hash partition": ("DELETE FROM hashed WHERE ctid = '(0,1)' AND c = 'red'", "public.hashed"),
    "a row in the child": ("DELETE FROM ONLY parent; INSERT INTO child VALUES (1)", "public.child"),
    "an unlogged table emptied": ("TRUNCATE unlogged", "public.unlogged"),
    "a byte of a large object": ("SELECT lo_put(801, 1100000, 'x')", "801"),
    "a longer large object": ("SELECT lo_put(801, 1200000, '\\x00')", "801"),
    "a large object made": ("SELECT lo_create(803)", "803"),
    "a lost large object": ("SELECT lo_unlink(802)", "802"),
    "a large object's owner": ("ALTER LARGE OBJECT 802 OWNER TO bob", "802"),
    "a large object's grant": ("REVOKE SELECT ON LARGE OBJECT 801 FROM bob", "801"),
    "a large object's comment": ("COMMENT ON LARGE OBJECT 802 IS NULL", "802"),
    "a view emptied": ("REFRESH MATERIALIZED VIEW counted WITH NO DATA", "public.counted"),
}  # fmt: skip
WRONG_SEQUENCE = {
    "a sequence's value": ("SELECT nextval('ticket')", "public.ticket"),
    "a sequence that was not called": ("SELECT setval('ticket', 1, false)", "public.ticket"),
    "an untouched sequence called": ("SELECT nextval('untouched')", "public.untouched"),
    "an identity's value": ("SELECT nextval('line_id_seq')", "public.line_id_seq"),
}
WRONG_SCHEMA = {
    "a sequence's step": ("ALTER SEQUENCE ticket INCREMENT 1", "SEQUENCE public ticket"),
    "a sequence's owner column": ("ALTER SEQUENCE untouched OWNED BY pairs.a", "public untouched"),
    "an index": ("DROP INDEX by_name", "INDEX public by_name"),
    "an index that is not unique": ("DROP INDEX by_note; CREATE INDEX by_note ON item (note)", "INDEX public by_note"),
    "a primary key": ("ALTER TABLE item DROP CONSTRAINT item_pkey CASCADE", "CONSTRAINT public item item_pkey"),
    "a foreign key": ("ALTER TABLE line DROP CONSTRAINT line_item_fkey", "FK CONSTRAINT public line line_item_fkey"),
    "a check": ("ALTER TABLE item DROP CONSTRAINT item_code_check", "TABLE public item"),
    "a domain's check": ("ALTER DOMAIN positive DROP CONSTRAINT above", "DOMAIN public positive"),
    "not null": ("ALTER TABLE item ALTER name DROP NOT NULL", "TABLE public item"),
    "a default": ("ALTER TABLE item ALTER weight SET DEFAULT 2", "TABLE public item"),
    "a column's type": ("ALTER TABLE pairs ALTER a TYPE bigint", "TABLE public pairs"),
    "a column's name": ("ALTER TABLE pairs RENAME b TO c", "TABLE public pairs"),
    "an enum's value": ("ALTER TYPE colour ADD VALUE 'blue'", "TYPE public colour"),
    "a trigger": ("DROP TRIGGER touched ON item", "TRIGGER public item touched"),
    "a trigger switched off": ("ALTER TABLE item DISABLE TRIGGER touched", "TRIGGER public item touched"),
    "an event trigger": ("ALTER EVENT TRIGGER noting DISABLE", "EVENT TRIGGER - noting"),
    "a rule": ("DROP RULE quiet ON plain", "RULE public plain quiet"),
    "a policy": ("DROP POLICY mine ON item", "POLICY public item mine"),
    "row security": ("ALTER TABLE item DISABLE ROW LEVEL SECURITY", "ROW SECURITY public item"),
    "a grant": ("REVOKE SELECT ON item FROM bob", "ACL public TABLE item"),
    "a column's grant": ("REVOKE UPDATE (note) ON item FROM \"O'Hara\"", "ACL public COLUMN item.note"),
    "a grant of a system function": ("REVOKE EXECUTE ON FUNCTION pg_ls_dir(text) FROM bob", "ACL pg_catalog FUNCTION pg_ls_dir"),
    "a default privilege": ("ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM bob", "DEFAULT ACL - DEFAULT PRIVILEGES FOR TABLES"),
    "a comment": ("COMMENT ON TABLE item IS 'other'", "COMMENT public TABLE item"),
    "a statistics object": ("DROP STATISTICS known", "STATISTICS public known"),
    "a publication": ("DROP PUBLICATION news CASCADE", "PUBLICATION - news"),
    "a published table": ("ALTER PUBLICATION news DROP TABLE item", "PUBLICATION TABLE public news item"),
    "a publication's filter": ("ALTER PUBLICATION news SET TABLE item WHERE (id > 2)", "PUBLICATION TABLE public news item"),
    "a function's body": ("CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$\n-- doubles\n\nBEGIN\n  RETURN n * 3;\nEND $$", "FUNCTION public twice(integer)"),
    "a function's comment": ("CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$\n-- triples\n\nBEGIN\n  RETURN n * 2;\nEND $$", "FUNCTION public twice(integer)"),
    "a function's blank line": ("CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$\n-- doubles\nBEGIN\n  RETURN n * 2;\nEND $$", "FUNCTION public twice(integer)"),
    "whose rights a function has": ("ALTER FUNCTION twice SECURITY DEFINER", "FUNCTION public twice(integer)"),
    "an owner": ("ALTER TABLE plain OWNER TO postgres", "TABLE public plain owner bob"),
    "a view": ("CREATE OR REPLACE VIEW cheap AS SELECT * FROM item WHERE price < 3", "VIEW public cheap"),
    "a storage option": ("ALTER TABLE item ALTER name SET STORAGE extended", "TABLE public item"),
    "a table's option": ("ALTER TABLE item RESET (fillfactor)", "TABLE public item"),
    "a replica identity": ("ALTER TABLE item REPLICA IDENTITY FULL", "CONSTRAINT public item item_pkey"),
    "an access method": ("ALTER TABLE plain SET ACCESS METHOD second_heap", "TABLE public plain"),
    "an extension": ("DROP EXTENSION vector", "EXTENSION - vector"),
    "a table in a schema DATA": ("ALTER TABLE \"DATA\".noted ALTER t SET DEFAULT 'e'", "TABLE DATA noted"),
    "a sequence in a schema SET": ("ALTER SEQUENCE \"SET\".counter INCREMENT 2", "SEQUENCE SET counter"),
    "an inheritance": ("ALTER TABLE child NO INHERIT parent", "TABLE public child"),
    "a partition": ("ALTER TABLE listed DETACH PARTITION listed_a", "TABLE ATTACH public listed_a"),
}  # fmt: skip
WRONG_DATABASE = {
    "a setting": ("ALTER DATABASE {} RESET work_mem", "settings"),
    "a role's setting in it": ("ALTER ROLE bob IN DATABASE {} RESET ALL", "settings"),
    "a grant": ('REVOKE TEMPORARY ON DATABASE {} FROM "O\'Hara"', "acl"),
    "its comment": ("COMMENT ON DATABASE {} IS NULL", "comment"),
    "its connection limit": ("ALTER DATABASE {} CONNECTION LIMIT -1", "connection_limit"),
    "that it is a template": ("ALTER DATABASE {} IS_TEMPLATE false", "template"),
}
WRONG_ROLE = {
    "an attribute": "ALTER ROLE bob NOCREATEDB",
    "a membership": 'REVOKE "O\'Hara" FROM bob',
    "how a membership is held": 'GRANT "O\'Hara" TO bob WITH SET FALSE',
    "who gave a membership": 'REVOKE "O\'Hara" FROM bob GRANTED BY postgres; GRANT "O\'Hara" TO bob WITH ADMIN FALSE GRANTED BY eve',
    "a setting": "ALTER ROLE bob RESET work_mem",
    "a password": "ALTER ROLE bob PASSWORD 'other'",
    "no password": "ALTER ROLE bob PASSWORD NULL",
    "a date": "ALTER ROLE bob VALID UNTIL '2031-01-01'",
    "a comment": "COMMENT ON ROLE bob IS 'other'",
    "a limit": "ALTER ROLE bob CONNECTION LIMIT 4",
    "a grant on a parameter": "REVOKE SET ON PARAMETER work_mem FROM bob",
}


@pytest.fixture(scope="module")
def server(postgres_server: Instance) -> Iterator[Instance]:
    """The server with the roles that the scripts name."""
    execute(postgres_server, "postgres", "CREATE ROLE bob", 'CREATE ROLE "O\'Hara"', "CREATE ROLE eve")
    yield postgres_server
    execute(postgres_server, "postgres", 'DROP ROLE bob, "O\'Hara", eve')


@pytest.fixture
def hard(server: Instance, new_database: Callable[..., str]) -> str:
    """A database of all that is hard, with settings that would change how everything prints."""
    name = new_database("hard")
    run_script(server, name, (SQL / "hard.sql").read_text(encoding="utf8"))
    for setting, value in HOSTILE_SETTINGS.items():
        shown = value if setting == "search_path" else f"'{value}'"
        execute(server, "postgres", f"ALTER DATABASE hard SET {setting} = {shown}")
    return name


def test_a_correct_restore_of_all_that_is_hard_is_never_red(server: Instance, hard: str, store_folder: Path) -> None:
    repository = store_in(store_folder)
    made = back_up(server_of(server), repository, [hard])
    for key in (made.key(hard), made.cluster_key):
        report = drill(repository, key)
        assert (report.result, report.differences) == ("passed", ()), report.sentence


OTHER_LETTERS = """
CREATE TABLE t (s varchar(10) CHECK (s IN ('가', '나'))); INSERT INTO t VALUES ('가'); COMMENT ON TABLE t IS '한국어';
"""


def test_letters_that_the_server_s_own_encoding_lacks_are_never_red(store_folder: Path) -> None:
    with scratch_server(MAJOR, encoding="LATIN1", locale="C") as western:
        execute(western, "postgres", "CREATE DATABASE eastern TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
        run_script(western, "eastern", OTHER_LETTERS)
        repository = store_in(store_folder)
        made = back_up(server_of(western), repository)
        (restored,) = restore_databases(
            repository, server_of(western), (RestoreChoice("eastern", made.key("eastern")),)
        )
        assert restored.rows == 1
    report = drill(repository, made.cluster_key)
    assert (report.result, report.differences) == ("passed", ()), report.sentence


VIRTUAL = """
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE rate (a int, b positive, share int GENERATED ALWAYS AS (100 / a) VIRTUAL, twice int GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE computed (a int GENERATED ALWAYS AS (1) VIRTUAL); INSERT INTO computed DEFAULT VALUES;
INSERT INTO rate VALUES (1, 2), (0, 1);
"""


def test_a_virtual_column_that_cannot_be_computed_is_never_red(store_folder: Path) -> None:
    with scratch_server(18) as newest:
        run_script(newest, "postgres", VIRTUAL)
        report = drill_one(newest, store_folder, "postgres")
    assert (report.result, report.differences) == ("passed", ()), report.sentence
    assert report.compared[0].counts["row"] == 3


@pytest.fixture(scope="module")
def small(server: Instance) -> Iterator[DatabaseProof]:
    """The proof of a database `small` that has one of each thing; a template of the copies that go wrong."""
    execute(server, "postgres", "CREATE DATABASE small TEMPLATE template0")
    run_script(server, "small", (SQL / "small.sql").read_text(encoding="utf8"))
    yield proof_of(server, "small")
    execute(server, "postgres", "DROP DATABASE small")


@pytest.fixture(scope="module")
def reprint(server: Instance, small: DatabaseProof) -> Callable[[str], str]:
    """How a schema prints after one restore; the same one again and again here."""
    return cache(reprinter(server_of(server), client_programs(MAJOR), small.properties))


def reported(expected: DatabaseProof, found: DatabaseProof, reprint: Callable[[str], str]) -> list[str]:
    """What a comparison finds: kinds and names."""
    return [f"{one.kind} {one.name}" for one in compare_databases(expected, found, reprint)]


def proof_of(server: Instance, database: str) -> DatabaseProof:
    return restored_proof(server_of(server), database, client_programs(MAJOR))


def test_a_copy_is_equal(
    server: Instance, small: DatabaseProof, new_database: Callable[..., str], reprint: Callable[[str], str]
) -> None:
    assert reported(small, proof_of(server, new_database(template="small")), reprint) == []


@pytest.mark.parametrize(("mistake", "named"), WRONG_DATA.values(), ids=WRONG_DATA)
def test_wrong_data_is_never_green(
    server: Instance, small: DatabaseProof, reprint: Callable[[str], str], mistake: str, named: str
) -> None:
    with server_of(server).connect("small", autocommit=False) as connection:
        assert take_proof(connection, "small", small.schema_sql).tables == small.tables
        connection.execute(f"SET LOCAL search_path = public; {mistake}; SET LOCAL search_path = ''".encode())
        found = take_proof(connection, "small", small.schema_sql)
        connection.rollback()
    assert any(one.endswith(f" {named}") for one in reported(small, found, reprint))


def grouped(mistakes: Mapping[str, tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Groups in which no two mistakes concern the same object: one copy is made wrong by all of a group."""
    groups: list[list[tuple[str, str]]] = []
    alone: list[list[tuple[str, str]]] = []
    for mistake, named in mistakes.values():
        fitting = (group for group in groups if named not in [other for _, other in group])
        if "CASCADE" in mistake:
            alone.append([(mistake, named)])
        elif group := next(fitting, None):
            group.append((mistake, named))
        else:
            groups.append([(mistake, named)])
    return groups + alone


@pytest.mark.parametrize("mistakes", grouped(WRONG_SEQUENCE | WRONG_SCHEMA))
def test_a_wrong_schema_or_sequence_is_never_green(
    server: Instance,
    small: DatabaseProof,
    new_database: Callable[..., str],
    reprint: Callable[[str], str],
    mistakes: Sequence[tuple[str, str]],
) -> None:
    copy = new_database(template="small")
    run_script(server, copy, ";\n".join(mistake for mistake, _ in mistakes))
    found = reported(small, proof_of(server, copy), reprint)
    assert [named for _, named in mistakes if not any(named in one for one in found)] == []


CHAIN = """
CREATE TABLE t (s varchar(9) CHECK (s IN ('a', 'b')));
GRANT INSERT ON t TO bob; GRANT SELECT ON t TO bob WITH GRANT OPTION;
SET ROLE bob; GRANT SELECT ON t TO eve; RESET ROLE;
GRANT SELECT ON t TO "O'Hara" WITH GRANT OPTION;
SET ROLE "O'Hara"; GRANT SELECT ON t TO bob WITH GRANT OPTION; RESET ROLE;
REVOKE GRANT OPTION FOR SELECT ON t FROM bob;
"""
"""Whose grants pg_dump writes in an order in which bob cannot yet give what he gave to eve: a restore only warns."""
OBJECTS = """
CREATE TABLE t (a int, s varchar(9) CHECK (s IN ('a', 'b'))); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE SCHEMA "by; hand"; CREATE TABLE "by; hand"."RESET SESSION AUTHORIZATION;" (a int);
REVOKE ALL ON t FROM postgres; REVOKE ALL ON FUNCTION f FROM PUBLIC, postgres;
"""
GRANTS = (
    'GRANT SELECT ON t TO "O\'Hara"', "GRANT SELECT ON t TO PUBLIC", "GRANT UPDATE (a) ON t TO bob", "GRANT UPDATE (a) ON t TO eve",
    "GRANT INSERT ON t TO postgres", "GRANT EXECUTE ON FUNCTION f TO eve", "GRANT EXECUTE ON FUNCTION f TO PUBLIC",
    'GRANT SELECT ON "by; hand"."RESET SESSION AUTHORIZATION;" TO eve', 'GRANT SELECT ON "by; hand"."RESET SESSION AUTHORIZATION;" TO bob',
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO eve", "ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO bob",
    "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC", "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM postgres",
    'GRANT SELECT ON t TO bob WITH GRANT OPTION; SET ROLE bob; GRANT SELECT ON t TO eve; GRANT SELECT ON t TO "O\'Hara"; RESET ROLE',
)  # fmt: skip


def test_a_grant_that_a_restore_loses_is_never_green(server: Instance, fresh_database: str, store_folder: Path) -> None:
    run_script(server, fresh_database, CHAIN)
    report = drill_one(server, store_folder, fresh_database)
    assert [one.name for one in report.differences] == ["ACL public TABLE t"], report.sentence
    assert "GRANT SELECT ON TABLE public.t TO eve" in report.differences[0].expected


def test_grants_in_any_order_are_never_red(
    server: Instance, new_database: Callable[..., str], reprint: Callable[[str], str], store_folder: Path
) -> None:
    made, reordered = new_database(), new_database()
    run_script(server, made, OBJECTS + ";\n".join(GRANTS))
    run_script(server, reordered, OBJECTS + ";\n".join(reversed(GRANTS)))
    one, other = proof_of(server, made), proof_of(server, reordered)
    assert one.schema_sql != other.schema_sql
    assert reported(one, other.model_copy(update={"database": made}), reprint) == []
    assert drill_one(server, store_folder, reordered).result == "passed"


OTHER_MEANING = """
CREATE TYPE mark AS ENUM ('a', 'A', 'b');
CREATE FUNCTION alike(mark, mark) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT lower($1::text) = lower($2::text)';
CREATE OPERATOR = (LEFTARG = mark, RIGHTARG = mark, FUNCTION = alike);
CREATE DOMAIN known AS mark CONSTRAINT is_known CHECK (CASE VALUE WHEN 'a' THEN false ELSE true END);
CREATE TABLE t (id int, m mark, denied mark, k text, same mark GENERATED ALWAYS AS (NULLIF(m, denied)) STORED,
    other bool DEFAULT ('a'::mark IS DISTINCT FROM 'A'::mark), CONSTRAINT never CHECK (NULLIF(m, 'A') IS NOT NULL OR m = 'a'));
INSERT INTO t VALUES (1, 'b', 'a');
CREATE TABLE parted (m mark) PARTITION BY LIST ((CASE m WHEN 'A' THEN 1 ELSE 2 END)); CREATE TABLE part PARTITION OF parted DEFAULT;
ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY allowed ON t USING (m IS DISTINCT FROM denied);
CREATE VIEW joined AS SELECT id FROM t JOIN (SELECT 'A'::mark AS m) AS u USING (m);
CREATE RULE quiet AS ON DELETE TO t WHERE (OLD.m IS DISTINCT FROM OLD.denied) DO INSTEAD NOTHING;
CREATE INDEX partial ON t (id) WHERE m IS DISTINCT FROM denied; CREATE STATISTICS s ON (NULLIF(m, denied)), id FROM t;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON t FOR EACH ROW WHEN (OLD.m IS DISTINCT FROM NEW.m) EXECUTE FUNCTION touch();
CREATE FUNCTION body(m mark) RETURNS bool IMMUTABLE BEGIN ATOMIC SELECT m IS DISTINCT FROM 'A'::mark; END;
"""
MEANT = {
    "rule _RETURN of public.joined", "rule quiet of public.t", "policy allowed of public.t",
    "trigger touched of public.t", "index partial of public.t", "statistics public.s", "constraint never of public.t",
    "constraint is_known of public.known", "default of public.t.same", "default of public.t.other",
    "function public.body(public.mark)", "table public.parted",
}  # fmt: skip


def test_an_expression_that_means_something_else_is_never_green(
    server: Instance, fresh_database: str, store_folder: Path
) -> None:
    run_script(server, fresh_database, OTHER_MEANING)
    report = drill_one(server, store_folder, fresh_database)
    assert {one.name for one in report.differences if one.kind == "dependencies"} == MEANT
    assert [one.kind for one in report.differences] == ["dependencies"] * len(MEANT)
    (policy,) = (one for one in report.differences if one.name == "policy allowed of public.t")
    assert policy.expected == "operator public.= (public.mark, public.mark)"


def test_of_another_version_of_an_extension_no_dependency_is_compared() -> None:
    def proof(major: int, *used: str) -> DependencyProof:
        return DependencyProof(major=major, of={"rule r of t": Counter(used)}, extensions={"operator =": "x"})

    def changed(before: DependencyProof | None, after: DependencyProof, *passed_over: str) -> list[tuple[str, ...]]:
        return list(changed_dependencies(before, after, passed_over))

    lost = [("rule r of t", "operator =", "")]
    assert changed(proof(16, "operator ="), proof(16)) == lost
    assert changed(proof(16, "operator ="), proof(16), "x") == []
    assert changed(proof(16, "operator =", "type y"), proof(18, "function f")) == lost
    assert changed(proof(16, "operator =", "operator ="), proof(16, "operator =")) == lost
    assert changed(proof(16, "operator =", "operator ="), proof(18, "operator =")) == []
    assert changed(None, proof(16)) == []


def test_a_database_that_lost_something_of_its_own_is_never_green(
    server: Instance, fresh_database: str, reprint: Callable[[str], str]
) -> None:
    for statement in (
        "ALTER DATABASE {} SET work_mem = '5MB'", "ALTER ROLE bob IN DATABASE {} SET search_path = a, \"B\"",
        "ALTER DATABASE {} OWNER TO bob", "GRANT TEMPORARY ON DATABASE {} TO \"O'Hara\"",
        "COMMENT ON DATABASE {} IS 'mine'", "ALTER DATABASE {} CONNECTION LIMIT 7", "ALTER DATABASE {} IS_TEMPLATE true",
    ):  # fmt: skip
        execute(server, "postgres", statement.format(fresh_database))
    expected = proof_of(server, fresh_database)
    assert reported(expected, proof_of(server, fresh_database), reprint) == []
    for mistake, named in reversed(WRONG_DATABASE.values()):
        before = proof_of(server, fresh_database)
        execute(server, "postgres", mistake.format(fresh_database))
        assert reported(before, proof_of(server, fresh_database), reprint) == [f"database property {named}"]


@pytest.fixture
def bob(server: Instance) -> Iterator[dict[str, RoleProof]]:
    """The proof of the roles, with a `bob` who has everything that a role can have."""
    execute(
        server, "postgres",
        "ALTER ROLE bob CREATEDB CONNECTION LIMIT 3 PASSWORD 'secret' VALID UNTIL '2030-01-01'",
        "GRANT \"O'Hara\" TO eve WITH ADMIN OPTION", "GRANT \"O'Hara\" TO bob", "ALTER ROLE bob SET work_mem = '5MB'",
        "COMMENT ON ROLE bob IS 'me'", "GRANT SET ON PARAMETER work_mem TO bob",
    )  # fmt: skip
    yield roles_of(server)
    execute(
        server, "postgres", "REVOKE \"O'Hara\" FROM bob GRANTED BY postgres", "REVOKE \"O'Hara\" FROM bob GRANTED BY eve",
        "REVOKE SET ON PARAMETER work_mem FROM bob", "REVOKE \"O'Hara\" FROM eve",
    )  # fmt: skip


def roles_of(server: Instance) -> dict[str, RoleProof]:
    with psycopg.connect(server.conninfo()) as connection:
        return read_roles(connection)


@pytest.mark.parametrize("mistake", WRONG_ROLE.values(), ids=WRONG_ROLE)
def test_a_role_that_lost_something_is_never_green(server: Instance, bob: dict[str, RoleProof], mistake: str) -> None:
    assert compare_roles(bob, roles_of(server)) == ()
    run_script(server, "postgres", mistake)
    found = compare_roles(bob, roles_of(server))
    assert [one.name for one in found] == ["bob"]
    assert "secret" not in str(found)


def test_settings_for_all_roles_and_grants_to_all_are_proven(server: Instance) -> None:
    before = roles_of(server)
    execute(server, "postgres", "ALTER ROLE ALL SET work_mem = '7MB'")
    assert [one.name for one in compare_roles(before, roles_of(server))] == ["public"]
    execute(server, "postgres", "ALTER ROLE ALL RESET ALL", "GRANT SET ON PARAMETER work_mem TO PUBLIC")
    assert [one.name for one in compare_roles(before, roles_of(server))] == ["public"]
    execute(server, "postgres", "REVOKE SET ON PARAMETER work_mem FROM PUBLIC")
    assert compare_roles(before, roles_of(server)) == ()


BUILT_IN = {
    "a role that is ours": ("GRANT bob TO pg_monitor", "REVOKE bob FROM pg_monitor"),
    "a parameter": ("GRANT SET ON PARAMETER work_mem TO pg_monitor", "REVOKE SET ON PARAMETER work_mem FROM pg_monitor"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "taken"), BUILT_IN.values(), ids=BUILT_IN)
def test_what_a_built_in_role_was_given_is_proven(server: Instance, given: str, taken: str) -> None:
    before = roles_of(server)
    execute(server, "postgres", given)
    after = roles_of(server)
    execute(server, "postgres", taken)
    assert [one.name for one in compare_roles(before, after)] == ["pg_monitor"]
    assert [one.name for one in compare_roles(after, before)] == ["pg_monitor"]
    older = {name: role for name, role in before.items() if not name.startswith("pg_")}
    assert compare_roles(older, after) == ()


def test_it_holds_under_concurrent_writes(server: Instance, fresh_database: str, store_folder: Path) -> None:
    run_script(server, fresh_database, """
        CREATE TABLE busy (id bigserial PRIMARY KEY, n int, filler text);
        INSERT INTO busy (n, filler) SELECT i, repeat('x', 200) FROM generate_series(1, 20000) AS i;
        CREATE SEQUENCE ticket;
    """)  # fmt: skip
    stop, written = threading.Event(), []

    def write() -> None:
        with psycopg.connect(server.conninfo(fresh_database), autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO busy (n, filler) VALUES (0, 'new')")
                connection.execute("UPDATE busy SET n = n + 1 WHERE id = (SELECT min(id) FROM busy WHERE n < 100000)")
                connection.execute("DELETE FROM busy WHERE id = (SELECT max(id) - 100 FROM busy)")
                written.append(connection.execute("SELECT nextval('ticket')").fetchone())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        report = drill_one(server, store_folder, fresh_database)
    finally:
        stop.set()
        writer.join()
    assert len(written) > 50
    assert (report.result, report.differences) == ("passed", ()), report.sentence
