"""What belongs to an extension and does not come with it: named by whoever restores, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from engine.reports.drill import drill_report
from engine.sources.postgres.proof.extensions import ExtensionProof, lost_members, not_compared, read_extensions
from engine.sources.postgres.restore.report import restore_report
from engine.sources.postgres.restore.restore import RestoreChoice, restore_databases
from engine.sources.postgres.scratch import scratch
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from tests.conftest import MAJOR
from tests.engine.sources.postgres.backups import Backup, back_up, drill, execute, repacked, server_of, store_in

MAKE = (
    "CREATE EXTENSION vector",
    "CREATE FUNCTION added(n int) RETURNS int LANGUAGE sql AS 'SELECT n'",
    'CREATE TABLE "by hand" (a int)',
    "ALTER EXTENSION vector ADD FUNCTION added(int)",
    'ALTER EXTENSION vector ADD TABLE "by hand"',
    "ALTER FUNCTION vector_dims(vector) RENAME TO dims",
)
NOT_COMPARED = "members of extensions not compared"
LINE = (
    'app: what CREATE EXTENSION does not make of vector: function public.added(integer), '
    'function public.dims(public.vector), table public."by hand" (added by hand: ALTER EXTENSION ... DROP takes it '
    "out, and the next backup carries it; left by an older version: drop it)"
)  # fmt: skip


@pytest.fixture(scope="module")
def source() -> Iterator[Instance]:
    """`app` has more in its extension than the extension; `plain` has extensions as they are."""
    with scratch_server(MAJOR) as server:
        execute(server, "postgres", "CREATE DATABASE app", "CREATE DATABASE plain")
        execute(server, "app", *MAKE)
        execute(server, "plain", "CREATE SCHEMA ext", "CREATE EXTENSION vector SCHEMA ext")
        yield server


@pytest.fixture(scope="module")
def made(source: Instance, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    repository = store_in(tmp_path_factory.mktemp("members"))
    with psycopg.connect(source.conninfo("plain")) as other:  # a session's own things go with it
        other.execute("CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        other.execute("CREATE TEMPORARY TABLE passing (a int)")
        other.execute("ALTER EXTENSION vector ADD FUNCTION pg_temp.mine()")
        other.execute("ALTER EXTENSION vector ADD TABLE passing")
        other.commit()
        return back_up(server_of(source), repository)


@pytest.mark.parametrize("kind", ["database", "cluster"])
def test_a_drill_names_what_an_extension_did_not_bring_back(made: Backup, kind: str) -> None:
    report = drill(made.repository, made.key("app") if kind == "database" else made.cluster_key)
    assert (report.result, report.verdict, report.differences) == ("passed", "incomplete", ()), report.sentence
    assert [what for what in report.missing if "EXTENSION" in what] == [LINE]
    assert LINE in report.sentence
    assert LINE in drill_report(report).as_text()


def test_a_restore_names_it_too(made: Backup, second_server: Instance) -> None:
    choices = (RestoreChoice("app", made.key("app")), RestoreChoice("plain", made.key("plain")))
    app, plain = restore_databases(made.repository, server_of(second_server), choices)
    assert (app.missing, plain.missing) == ((LINE,), ())
    assert LINE in restore_report("platform", (app, plain), 1.0).as_text()


def test_extensions_as_they_are_pass(made: Backup) -> None:
    report = drill(made.repository, made.key("plain"))
    assert (report.verdict, report.missing, NOT_COMPARED in report.remarks) == ("passed", (), False), report.sentence


def test_names_are_those_of_the_proof(source: Instance) -> None:
    with server_of(source).connect("plain") as connection:
        extensions = read_extensions(connection)
    assert extensions["plpgsql"].members == (
        "function pg_catalog.plpgsql_call_handler()",
        "function pg_catalog.plpgsql_inline_handler(pg_catalog.internal)",
        "function pg_catalog.plpgsql_validator(pg_catalog.oid)",
        "language plpgsql",
    )
    assert "cast (ext.vector AS real[])" in extensions["vector"].members
    assert "operator family ext.vector_ops USING btree" in extensions["vector"].members
    assert not [member for member in extensions["vector"].members if "mine" in member or "passing" in member]


def test_grants_on_an_extension_of_another_superuser_are_never_red(
    postgres_server: Instance, fresh_database: str, store_folder: Path
) -> None:
    """What an extension makes belongs to whoever restores."""
    execute(postgres_server, fresh_database, "CREATE ROLE admin SUPERUSER")
    execute(
        postgres_server, fresh_database, "SET ROLE admin", "CREATE EXTENSION vector",
        "GRANT EXECUTE ON FUNCTION vector_dims(vector) TO pg_monitor", "REVOKE EXECUTE ON FUNCTION vector_norm(vector) FROM PUBLIC",
    )  # fmt: skip
    repository = store_in(store_folder)
    made = back_up(server_of(postgres_server), repository, [fresh_database])
    report = drill(repository, made.cluster_key)
    execute(postgres_server, fresh_database, "DROP EXTENSION vector", "DROP OWNED BY admin", "DROP ROLE admin")
    assert (report.result, report.differences) == ("passed", ()), report.sentence


JOBS = """
CREATE SCHEMA cron; CREATE SEQUENCE cron.jobid_seq; CREATE SEQUENCE cron.internal_seq;
CREATE TABLE cron.job (jobid bigint PRIMARY KEY DEFAULT pg_catalog.nextval('cron.jobid_seq'), command text);
SELECT pg_catalog.pg_extension_config_dump('cron.job', ''); SELECT pg_catalog.pg_extension_config_dump('cron.jobid_seq', '');
"""


def test_a_sequence_that_an_extension_calls_the_user_s_is_compared(
    server_base: Path, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = server_base / "extension"
    scripts.mkdir()
    (scripts / "jobs.control").write_text("default_version = '1.0'\nrelocatable = false\n", encoding="utf8")
    (scripts / "jobs--1.0.sql").write_text(JOBS, encoding="utf8")
    monkeypatch.setitem(scratch.SETTINGS, "extension_control_path", f"$system:{server_base}")
    repository = store_in(store_folder)
    with scratch_server(18) as newest:
        execute(newest, "postgres", "CREATE DATABASE app")
        execute(newest, "app", "CREATE EXTENSION jobs", "INSERT INTO cron.job (command) VALUES ('a'), ('b')")
        key = back_up(server_of(newest), repository, ["app"], cluster=False).key("app")
    report = drill(repository, key)
    assert (report.result, report.differences) == ("passed", ()), report.sentence
    assert report.compared[0].counts["sequence"] == 1


def test_another_version_is_not_compared_and_the_drill_says_so(
    postgres_server: Instance, new_database: Callable[..., str], store_folder: Path
) -> None:
    name, repository = new_database(), store_in(store_folder)
    execute(postgres_server, name, *MAKE, "UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'vector'")
    report = drill(repository, back_up(server_of(postgres_server), repository, [name], cluster=False).key(name))
    assert (report.verdict, report.missing) == ("passed", ()), report.sentence
    reported = report.remarks[NOT_COMPARED]
    assert reported.startswith(f"vector of {name} (0.0.1 on PostgreSQL 16 backed up, 0.")
    assert reported in drill_report(report).as_text()


def test_neither_is_another_major_nor_an_extension_that_is_not_there() -> None:
    before = {"x": ExtensionProof(version="1", major=15, members=("a",))}
    after = {"x": ExtensionProof(version="1", major=16, members=())}
    assert lost_members("app", before, after) == lost_members("app", before, {}) == ()
    assert not_compared("app", before, after) == (
        "x of app (1 on PostgreSQL 15 backed up, 1 on PostgreSQL 16 restored)",
    )


def test_an_older_proof_is_read_as_before(made: Backup) -> None:
    def older(proof: bytes) -> bytes:
        document = json.loads(proof)
        del document["extensions"], document["dependencies"]
        return json.dumps(document).encode()

    report = drill(made.repository, repacked(made.repository, made.key("app"), {"app.proof.json.gz": older}))
    assert (report.verdict, report.missing, NOT_COMPARED in report.remarks) == ("passed", (), False), report.sentence
