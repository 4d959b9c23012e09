"""The globals as SQL that can be run twice, of all roles or of some."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count, repeat
from typing import Any

import pytest
from psycopg import sql

from engine.errors import TransientFailure
from engine.sources.postgres.archive.globals_sql import only_roles, rerunnable
from engine.sources.postgres.backup import read_globals
from engine.sources.postgres.backup.survey import survey
from engine.sources.postgres.proof.roles import Roles, read_roles
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.server.lock import WORKER
from engine.sources.postgres.server.setting_sql import setting_sql
from tests.engine.sources.postgres.backups import execute, server_of

GLOBALS = """\
--
-- PostgreSQL database cluster dump
--

\\restrict abc

SET default_transaction_read_only = off;

CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER PASSWORD 'x''y;';
COMMENT ON ROLE app IS 'one
CREATE ROLE nobody;
GRANT app TO nobody;
';
CREATE ROLE "O'Hara ""x"";";
ALTER ROLE "O'Hara ""x"";" WITH LOGIN;
CREATE ROLE "back\\slash";
CREATE ROLE "two
CREATE ROLE lines;";
GRANT app TO "O'Hara ""x"";" WITH ADMIN OPTION GRANTED BY postgres;
GRANT pg_monitor TO app;
--
-- User Config "it's"
--

ALTER ROLE app SET application_name TO 'a;
CREATE ROLE nobody;';
SET SESSION AUTHORIZATION app;
GRANT SET ON PARAMETER log_statement TO PUBLIC;
RESET SESSION AUTHORIZATION;

\\unrestrict abc
"""
ABSENT = "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname ="
CREATED = {
    "CREATE ROLE app;\n": f"SELECT 'CREATE ROLE app' {ABSENT} 'app') \\gexec\n",
    'CREATE ROLE "O\'Hara ""x"";";\n': (
        f"SELECT 'CREATE ROLE \"O''Hara \"\"x\"\";\"' {ABSENT} 'O''Hara \"x\";') \\gexec\n"
    ),
    'CREATE ROLE "back\\slash";\n': f"SELECT E'CREATE ROLE \"back\\\\slash\"' {ABSENT} E'back\\\\slash') \\gexec\n",
    'CREATE ROLE "two\nCREATE ROLE lines;";\n': (
        f"SELECT 'CREATE ROLE \"two\nCREATE ROLE lines;\"' {ABSENT} 'two\nCREATE ROLE lines;') \\gexec\n"
    ),
}


def test_absent_roles_are_made_before_all_else() -> None:
    """psql makes them: nothing that runs in the server stands before pg_dumpall's own statements."""
    others = GLOBALS
    for before in CREATED:
        others = (
            others.replace(f"{before}ALTER", "ALTER") if before == "CREATE ROLE app;\n" else others.replace(before, "")
        )
    expected = "SET default_transaction_read_only = off;\n" + "".join(CREATED.values()) + others
    assert rerunnable(GLOBALS, "somebody") == expected
    # Its successor may have another name, and grants what it granted.
    assert rerunnable(GLOBALS, "postgres") == expected.replace(" GRANTED BY postgres;", ";")


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ((), []),
        (("nobody", "lines"), []),
        (("back\\slash",), ["SELECT E'CREATE"]),
        (("two\nCREATE ROLE lines;",), ["SELECT 'CREATE"]),
        (("O'Hara \"x\";",), ["SELECT 'CREATE", 'ALTER ROLE "O', "GRANT app TO"]),
        (("app",), ["SELECT 'CREATE", "ALTER ROLE app WITH", "COMMENT ON", "GRANT app TO", "GRANT pg_monitor TO app", "ALTER ROLE app SET"]),
    ],
    ids=repr,
)  # fmt: skip
def test_the_wanted_roles_and_their_memberships(wanted: tuple[str, ...], kept: list[str]) -> None:
    text = only_roles(rerunnable(GLOBALS, "postgres"), wanted)
    first, rest = text.split("\n", 1)
    assert first == "SET default_transaction_read_only = off;"
    for start in kept:
        assert rest.count(f"{start}") >= 1
        rest = rest.replace(start, "", 1)
    assert not any(
        rest.startswith(word) or f"\n{word}" in rest for word in ("SELECT ", "COMMENT ON ROLE", "ALTER ROLE")
    )


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("work_mem=5MB", "ALTER ROLE ALL SET \"work_mem\" TO '5MB'"),
        ("my.app=a=b 'c'", "ALTER ROLE ALL SET \"my\".\"app\" TO 'a=b ''c'''"),
        ("search_path=", "ALTER ROLE ALL SET \"search_path\" TO ''"),
        ('search_path=""', "ALTER ROLE ALL SET \"search_path\" TO ''"),
        ('search_path="$user", public, "a, ""b"""', "ALTER ROLE ALL SET \"search_path\" TO '$user', 'public', 'a, \"b\"'"),
        ("log_line_prefix=a, b", "ALTER ROLE ALL SET \"log_line_prefix\" TO 'a, b'"),
    ],
)  # fmt: skip
def test_a_stored_setting_as_sql(assignment: str, expected: str) -> None:
    assert setting_sql(sql.SQL("ALTER ROLE ALL"), assignment).as_string(None) == expected


def test_globals_are_read_once_a_backup_run_and_again_when_the_roles_are_others(
    empty_server: Instance,
) -> None:
    surveyed = survey(server_of(empty_server))
    execute(empty_server, "postgres", "CREATE ROLE of_the_evening")
    with surveyed.server.connect() as connection:
        evening = read_roles(connection)
        first, text = surveyed.globals.read(surveyed.server, surveyed.tools, WORKER, evening)
        execute(empty_server, "postgres", "CREATE ROLE of_the_night")
        assert surveyed.globals.read(surveyed.server, surveyed.tools, WORKER, evening)[1] is text
        late, late_text = surveyed.globals.read(surveyed.server, surveyed.tools, WORKER, read_roles(connection))
    assert (first, b"of_the_evening" in text, b"of_the_night" in text) == (evening, True, False)
    assert ("of_the_night" in late, b"of_the_night" in late_text) == (True, True)


def globals_while(server: Instance, statements: Iterator[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Roles, bytes]:
    """The globals of a server where one statement is run before each pg_dumpall."""
    surveyed, dump = survey(server_of(server)), read_globals.dump_globals

    def dump_later(*given: Any, **more: Any) -> bytes:
        execute(server, "postgres", next(statements))
        return dump(*given, **more)

    monkeypatch.setattr(read_globals, "dump_globals", dump_later)
    return surveyed.globals.read(surveyed.server, surveyed.tools, WORKER, None)


@pytest.mark.parametrize(
    ("statement", "there"),
    [("CREATE ROLE late", True), ("DROP ROLE app", False), ("ALTER ROLE app RENAME TO late", True)],
)
def test_the_roles_and_what_makes_them_are_of_one_moment(
    empty_server: Instance, monkeypatch: pytest.MonkeyPatch, statement: str, there: bool
) -> None:
    execute(empty_server, "postgres", "CREATE ROLE app")
    found, text = globals_while(empty_server, chain([statement], repeat("SELECT")), monkeypatch)
    with server_of(empty_server).connect() as connection:
        assert found == read_roles(connection)
    assert ("late" in found, b"CREATE ROLE late" in text) == (there, there)
    assert ("app" in found) == (b"CREATE ROLE app" in text)


def test_roles_that_change_all_the_time_are_told(empty_server: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    created = (f"CREATE ROLE of_a_moment_{number}" for number in count())
    with pytest.raises(TransientFailure, match=r"roles of platform .* change all the time: 10 times"):
        globals_while(empty_server, created, monkeypatch)
