"""The demo's data: complete, the same every time, safe to load again, and restorable with stock tools."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.dataset import change, load
from engine.errors import ConfigurationError
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server

PROJECT = Path(__file__).parents[2]
PLATFORM = ("kusthub", "kohub", "keycloak")
ALL = {*PLATFORM, 'a b"c', "운영 노트", "empty"}

# A class of object: the database, how many of it there are, and the query that counts them.
INVENTORY = {
    "partitioned by list": ("kusthub", 1, "SELECT FROM pg_partitioned_table WHERE partstrat = 'l'"),
    "partitioned by hash of an enum": (
        "kusthub",
        1,
        "SELECT FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0] "
        "JOIN pg_type ON pg_type.oid = atttypid WHERE partstrat = 'h' AND typtype = 'e'",
    ),
    "partitioned by range": ("kohub", 1, "SELECT FROM pg_partitioned_table WHERE partstrat = 'r'"),
    "default partitions": ("kohub", 2, "SELECT FROM pg_partitioned_table WHERE partdefid <> 0"),
    "classic inheritance": (
        "kusthub",
        2,
        "SELECT FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE NOT relispartition AND relkind = 'r'",
    ),
    "children whose columns come in another order": (
        "kusthub",
        2,
        "SELECT DISTINCT inhrelid FROM pg_inherits JOIN pg_class r ON r.oid = inhrelid AND NOT relispartition "
        "JOIN pg_attribute p ON p.attrelid = inhparent AND p.attnum > 0 "
        "JOIN pg_attribute c ON c.attrelid = inhrelid AND c.attname = p.attname WHERE c.attnum <> p.attnum",
    ),
    "identity columns": ("kusthub", 3, "SELECT FROM pg_attribute WHERE attidentity <> ''"),
    "generated columns": ("kusthub", 3, "SELECT FROM pg_attribute WHERE attgenerated <> '' AND attnum > 0"),
    "odd increments": ("kusthub", 3, "SELECT FROM pg_sequence WHERE seqincrement NOT IN (1, -1)"),
    "a sequence nobody asked": (
        "kusthub",
        1,
        "SELECT FROM pg_sequences WHERE sequencename = 'never_asked' AND last_value IS NULL",
    ),
    "serial columns": ("kohub", 2, "SELECT FROM pg_depend d JOIN pg_class c ON c.oid = objid WHERE relkind = 'S' AND d.deptype = 'a'"),
    "materialized views": ("kohub", 3, "SELECT FROM pg_matviews"),
    "a materialized view never filled": ("kohub", 1, "SELECT FROM pg_matviews WHERE NOT ispopulated"),
    "a stale materialized view": (
        "kohub",
        15,
        "SELECT FROM code.repository r JOIN code.repository_ranking k USING (id) WHERE r.stars <> k.stars",
    ),
    "views": ("kusthub", 3, "SELECT FROM pg_views WHERE schemaname = 'public'"),
    "enums": ("kohub", 2, "SELECT FROM pg_type WHERE typtype = 'e'"),
    "domains": ("kohub", 3, "SELECT FROM pg_type WHERE typtype = 'd' AND typnamespace = 'code'::regnamespace"),
    "composite types": ("kohub", 1, "SELECT FROM pg_class WHERE relkind = 'c'  AND relnamespace = 'code'::regnamespace"),
    "range types": ("kohub", 2, "SELECT FROM pg_type WHERE typtype = 'r' AND typnamespace = 'code'::regnamespace"),
    "a base type": ("kohub", 1, "SELECT FROM pg_type WHERE typname = 'celsius' AND typtype = 'b'"),
    "large objects": ("kusthub", 3, "SELECT FROM pg_largeobject_metadata WHERE oid IN (700001, 700002, 700003)"),
    "triggers": ("kusthub", 4, "SELECT FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0"),
    "a trigger switched off": ("kusthub", 1, "SELECT FROM pg_trigger WHERE tgenabled = 'D'"),
    "an event trigger": ("kusthub", 1, "SELECT FROM pg_event_trigger"),
    "the event trigger fired": ("kusthub", 1, "SELECT FROM desk_log WHERE object = 'public.seen_by_trigger'"),
    "policies": ("kusthub", 2, "SELECT FROM pg_policies"),
    "forced row security": ("kusthub", 1, "SELECT FROM pg_class WHERE relforcerowsecurity"),
    "column grants": ("keycloak", 4, "SELECT FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid = 'user_entity'::regclass"),
    "default privileges": ("kusthub", 3, "SELECT FROM pg_default_acl"),
    "owners": ("kohub", 3, "SELECT DISTINCT relowner FROM pg_class WHERE relowner <> 10"),
    "comments": ("kusthub", 10, "SELECT FROM pg_description WHERE objoid >= 16384 LIMIT 10"),
    "publications": ("kohub", 1, "SELECT FROM pg_publication WHERE puballtables"),
    "a filtered publication": ("keycloak", 1, "SELECT FROM pg_publication_rel WHERE prqual IS NOT NULL AND prattrs IS NOT NULL"),
    "a published schema": ("kusthub", 1, "SELECT FROM pg_publication_namespace"),
    "statistics objects": ("keycloak", 2, "SELECT FROM pg_statistic_ext"),
    "exclusion constraints": ("kusthub", 1, "SELECT FROM pg_constraint WHERE contype = 'x'"),
    "deferred constraints": ("kusthub", 2, "SELECT FROM pg_constraint WHERE condeferred AND contype = 'f'"),
    "a constraint that old rows break": ("kusthub", 1, "SELECT FROM pg_constraint WHERE NOT convalidated AND contype = 'c'"),
    "foreign keys": ("kusthub", 8, "SELECT FROM pg_constraint WHERE contype = 'f'"),
    "a table without columns": ("kusthub", 3, "SELECT FROM no_columns"),
    "a column called as its table": ("kusthub", 3, "SELECT t FROM t"),
    "duplicate rows": ("kohub", 8, "SELECT m.name FROM code.metric m GROUP BY m.name HAVING count(*) = 3"),
    "unlogged tables": ("keycloak", 1, "SELECT FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'"),
    "one and one with two decimals": ("kohub", 2, "SELECT DISTINCT exact::text FROM code.metric WHERE exact = 1 AND name <> 'sum'"),
    "minus zero": ("kohub", 3, "SELECT FROM code.metric WHERE value::text = '-0'"),
    "not a number": ("kohub", 3, "SELECT FROM code.metric WHERE value = 'NaN'"),
    "the largest and the smallest float": ("kohub", 6, "SELECT FROM code.metric WHERE value IN (1.7976931348623157e308, 5e-324)"),
    "a wide table": ("kohub", 300, "SELECT FROM pg_attribute WHERE attrelid = 'code.wide_setting'::regclass AND attnum > 0"),
    "functions": ("kohub", 1, "SELECT FROM pg_proc WHERE prosqlbody IS NOT NULL AND pronamespace = 'code'::regnamespace"),
    "procedures": ("kusthub", 1, "SELECT FROM pg_proc WHERE prokind = 'p'"),
    "aggregates": ("kohub", 2, "SELECT FROM pg_proc WHERE prokind = 'a' AND pronamespace = 'code'::regnamespace"),
    "operators": ("kohub", 3, "SELECT FROM pg_operator WHERE oprnamespace = 'code'::regnamespace"),
    "an operator class": ("kohub", 1, "SELECT FROM pg_opclass WHERE opcnamespace = 'code'::regnamespace"),
    "a cast": ("kohub", 1, "SELECT FROM pg_cast WHERE castsource = 'code.severity'::regtype"),
    "a collation": ("kohub", 1, "SELECT FROM pg_collation WHERE collnamespace = 'code'::regnamespace"),
    "an access method": ("kohub", 1, "SELECT FROM pg_am WHERE amname = 'steady'"),
    "a text search configuration": ("kusthub", 1, "SELECT FROM pg_ts_config WHERE cfgname = 'desk'"),
    "a foreign server": ("kusthub", 1, "SELECT FROM pg_foreign_server"),
    "rules": ("kusthub", 1, "SELECT FROM pg_rules WHERE rulename = 'close_quietly'"),
    "hostile table names": ("kohub", 2, """SELECT FROM pg_class WHERE relkind = 'r' AND relname IN ('--help', '주문 내역 "2024"')"""),
    "memberships": ("postgres", 8, "SELECT FROM pg_auth_members WHERE roleid >= 16384 OR member >= 16384 AND roleid < 16384"),
    "a membership somebody else granted": ("postgres", 1, "SELECT FROM pg_auth_members WHERE grantor <> 10"),
    "settings of roles": ("postgres", 4, "SELECT FROM pg_db_role_setting WHERE setdatabase = 0"),
    "settings of databases": ("postgres", 4, "SELECT FROM pg_db_role_setting WHERE setrole = 0 AND setdatabase <> 0"),
    "settings of a role in a database": ("postgres", 4, "SELECT FROM pg_db_role_setting WHERE setrole <> 0 AND setdatabase <> 0"),
}  # fmt: skip


@pytest.fixture(scope="module")
def loaded() -> Iterator[Instance]:
    """A server of this module alone with all of the data, small. Nobody changes it."""
    with scratch_server(16) as server:
        load(server.conninfo(), scale=0.01)
        yield server


def rows(server: Instance, database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.conninfo(database)) as connection:
        return connection.execute(query.encode()).fetchall()


def databases(server: Instance) -> set[str]:
    query = "SELECT datname FROM pg_database WHERE datname !~ '^(postgres|template.)$'"
    return {name for (name,) in rows(server, "postgres", query)}


def dumped(server: Instance, database: str) -> list[str]:
    """The lines of a plain dump, sorted: where rows stand may differ, and each dump has its own \\restrict."""
    command = [str(server.programs / "pg_dump"), "--restrict-key=same", "--dbname", server.conninfo(database)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return sorted(text.splitlines())


def test_every_database_is_there_with_its_owner(loaded: Instance) -> None:
    found = rows(loaded, "postgres", "SELECT datname, datdba::regrole::text FROM pg_database WHERE oid > 16383")
    assert dict(found) == {
        "keycloak": "keycloak",
        "kusthub": "kusthub",
        "kohub": "kohub",
        'a b"c': '"O\'Brien ""the DBA"""',
        "운영 노트": '"운영자"',
        "empty": "platform_admin",
    }


@pytest.mark.parametrize("what", INVENTORY)
def test_holds(loaded: Instance, what: str) -> None:
    database, count, query = INVENTORY[what]
    assert len(rows(loaded, database, query)) == count


def test_the_empty_database_is_empty(loaded: Instance) -> None:
    assert rows(loaded, "empty", "SELECT FROM pg_class WHERE oid > 16383") == []


def test_holds_vectors_where_the_extension_is(loaded: Instance) -> None:
    if not rows(loaded, "kohub", "SELECT FROM pg_available_extensions WHERE name = 'vector'"):
        pytest.skip("this server has no extension vector")
    assert rows(loaded, "kohub", "SELECT count(*), max(public.vector_dims(embedding)) FROM code.snippet_embedding") == [
        (30, 8)
    ]


def test_nothing_of_the_loading_stays(loaded: Instance) -> None:
    for database in PLATFORM:
        assert rows(loaded, database, "SELECT FROM pg_class WHERE relname = 'phrase'") == []


def test_a_second_load_changes_nothing(loaded: Instance) -> None:
    before = rows(loaded, "postgres", "SELECT oid, datname FROM pg_database ORDER BY oid")
    messages: list[str] = []
    load(loaded.conninfo(), scale=0.01, progress=messages.append)
    assert rows(loaded, "postgres", "SELECT oid, datname FROM pg_database ORDER BY oid") == before
    assert {line for line in messages if not line.startswith("roles")} == {f"{name}: already there" for name in ALL}


def test_stock_tools_dump_and_restore_all_of_it(loaded: Instance, empty_server: Instance, tmp_path: Path) -> None:
    dump = tmp_path / "all.sql"
    with dump.open("wb") as out:
        command = [str(loaded.programs / "pg_dumpall"), "--dbname", loaded.conninfo()]
        subprocess.run(command, stdout=out, timeout=60, check=True)
    script = dump.read_bytes().replace(b"\nCREATE ROLE postgres;\n", b"\n")
    command = [
        str(loaded.programs / "psql"),
        "-qX",
        "-v",
        "ON_ERROR_STOP=1",
        "--dbname",
        empty_server.conninfo(),
    ]
    restored = subprocess.run(command, input=script, capture_output=True, timeout=60, check=False)
    assert (restored.returncode, restored.stderr.count(b"ERROR")) == (0, 0), restored.stderr.decode()
    assert databases(empty_server) == ALL
    assert dumped(empty_server, "kohub") == dumped(loaded, "kohub")
    # Only here do columns change places: that is what these tables are for.
    moved = [
        line for line in set(dumped(empty_server, "kusthub")) ^ set(dumped(loaded, "kusthub"))
        if not any(word in line for word in ("통화", "mail", "call_activity", "id integer", "minutes smallint"))
    ]  # fmt: skip
    assert moved == []


def test_a_killed_load_is_done_again_and_gives_the_same(loaded: Instance, empty_server: Instance) -> None:
    command = [sys.executable, "-m", "demo.dataset", "--database", "kohub", "--scale", "1"]
    command += ["--conninfo", empty_server.conninfo()]
    with subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE) as loader:
        assert loader.stderr is not None
        while b"audit events" not in (line := loader.stderr.readline()):
            assert line, "the loader ended before it was killed"
        loader.kill()
    assert databases(empty_server) == {"demo_loading_kohub"}
    load(empty_server.conninfo(), scale=0.01, databases=["kohub"])
    assert databases(empty_server) == {"kohub"}
    assert dumped(empty_server, "kohub") == dumped(loaded, "kohub")


def test_two_loaders_at_once_load_once(empty_server: Instance) -> None:
    command = [sys.executable, "-m", "demo.dataset", "--database", "운영 노트", "--scale", "0.01"]
    command += ["--conninfo", empty_server.conninfo()]
    loaders = [subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE) for _ in range(2)]
    messages = [each.communicate(timeout=60)[1].decode() for each in loaders]
    assert [each.returncode for each in loaders] == [0, 0], messages
    assert sorted("already there" in text for text in messages) == [False, True]


def test_a_days_work_changes_every_platform_database(empty_server: Instance) -> None:
    load(empty_server.conninfo(), scale=0.01, databases=PLATFORM)
    states = []
    for _ in range(3):
        states.append([dumped(empty_server, database) for database in PLATFORM])
        change(empty_server.conninfo())
    for database in range(len(PLATFORM)):
        assert states[0][database] != states[1][database] != states[2][database]
    assert rows(empty_server, "kusthub", "SELECT count(*) FROM ticket") == [(100 + 3 * 15,)]
    assert rows(empty_server, "kusthub", "SELECT last_value FROM countdown") == [(300 - 4 * 3,)]


def test_somebody_elses_server_is_left_alone(empty_server: Instance) -> None:
    with psycopg.connect(empty_server.conninfo()) as connection:
        connection.execute("CREATE ROLE keycloak")
    with pytest.raises(ConfigurationError, match="a role keycloak that the demo did not make"):
        load(empty_server.conninfo(), scale=0.01)
    assert databases(empty_server) == set()
    assert rows(empty_server, "postgres", "SELECT FROM pg_roles WHERE rolname = 'kohub'") == []


def test_wrong_wishes_are_told_before_anything_is_done(empty_server: Instance) -> None:
    with pytest.raises(ConfigurationError, match="no database kohab; choose from kusthub, kohub"):
        load(empty_server.conninfo(), databases=["kohab"])
    with pytest.raises(ConfigurationError, match="scale is nan"):
        load(empty_server.conninfo(), scale=float("nan"))
    with pytest.raises(ConfigurationError, match="no demo data to change"):
        change(empty_server.conninfo())
    assert rows(empty_server, "postgres", "SELECT FROM pg_roles WHERE rolname = 'kohub'") == []


def test_the_command_takes_no_password_in_its_arguments() -> None:
    command = [sys.executable, "-m", "demo.dataset", "--conninfo", "host=127.0.0.1 password=canary-7f3a"]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "set PGPASSWORD or PGPASSFILE instead" in ended.stderr
    assert "canary" not in ended.stderr


def test_an_unreachable_server_is_one_sentence(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(
        ConfigurationError, match=r"cannot reach .*, port 5432: .*; start the server there or correct"
    ) as caught:
        load(f"host='{tmp_path}' port=5432 user=postgres password=canary-7f3a")
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 10
