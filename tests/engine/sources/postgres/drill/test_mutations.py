"""A drill goes red for each way a stored set can be wrong, and says what is wrong with it."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from pathlib import Path

import pyrage
import pytest

from engine.hosts.processes import arguments, running_pids
from engine.repository.catalogue import catalogue
from engine.repository.findings import DrillResult
from engine.repository.keys import SetKey, new_set_id
from engine.repository.manifest import read_manifest, to_json
from engine.repository.repository import Repository
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from tests.conftest import LIVE, MAJOR
from tests.engine.sources.postgres.backups import (
    Backup,
    Edit,
    back_up,
    copied,
    drill,
    execute,
    put,
    read,
    repacked,
    replaced,
    run_script,
    server_of,
    store_in,
)

SQL = Path(__file__).parents[1] / "sql"
GLOBALS, ROLES = "000-globals.sql.gz", "000-globals.proof.json.gz"


@pytest.fixture(scope="module")
def source() -> Iterator[Instance]:
    """A small server of two databases, `small` and `other`."""
    with scratch_server(MAJOR, settings=LIVE) as server:
        execute(
            server,
            "postgres",
            "CREATE ROLE bob CREATEDB",
            'CREATE ROLE "O\'Hara" IN ROLE bob',
            "ALTER ROLE bob SET work_mem = '5MB'",
            "GRANT bob TO pg_monitor",
        )
        for name in ("small", "other"):
            execute(server, "postgres", f"CREATE DATABASE {name}")
        run_script(server, "small", (SQL / "small.sql").read_text(encoding="utf8"))
        execute(server, "other", "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
        execute(
            server,
            "postgres",
            "GRANT CREATE ON DATABASE small TO bob",
            "ALTER DATABASE small SET work_mem = '6MB'",
        )
        yield server


@pytest.fixture(scope="module")
def made(source: Instance, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    return back_up(server_of(source), store_in(tmp_path_factory.mktemp("mutations")))


def evidence(report: DrillResult) -> str:
    return f"{report.sentence} {report.differences}"


def the_file(repository: Repository, key: SetKey, ending: str) -> str:
    """The one file of a set whose name ends so."""
    (name,) = (file.name for file in read_manifest(repository, key).files if file.name.endswith(ending))
    return name


def test_what_nobody_touched_passes(made: Backup) -> None:
    for key in (made.cluster_key, made.key("small")):
        report = drill(made.repository, key)
        assert (report.result, report.differences) == ("passed", ()), report.sentence
    verdicts = [(one.check, one.result) for one in catalogue(made.repository).verdicts]
    assert verdicts == [("drill", "passed")] * 2


# Bytes of a stored file ---------------------------------------------------------------------------

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut to nothing": lambda data: b"",
    "cut in the middle": lambda data: data[: len(data) // 2],
    "end cut": lambda data: data[:-2],
    "first bit": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "a bit in the middle": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 8]) + data[len(data) // 2 + 1 :],
    "last bit": lambda data: data[:-1] + bytes([data[-1] ^ 128]),
    "a byte more": lambda data: data + b"\0",
}  # fmt: skip


SMALL_FILES = (ROLES, "-small.proof.json.gz", "manifest.json")  # read before a server is started
LARGE_FILES = (GLOBALS, "-small.sql.gz")


@pytest.mark.parametrize(
    ("ending", "damage"),
    [
        *((ending, damage) for ending in SMALL_FILES for damage in DAMAGE),
        *((ending, damage) for ending in LARGE_FILES for damage in ("end cut", "a bit in the middle", "last bit")),
    ],
)
def test_damaged_bytes_of_a_cluster_set(made: Backup, store_folder: Path, ending: str, damage: str) -> None:
    repository, key = store_in(store_folder), made.cluster_key
    copied(made.repository, key, repository)
    name = ending if ending == "manifest.json" else the_file(repository, key, ending)
    before = read(repository, key.prefix + name)
    put(repository, key.prefix + name, DAMAGE[damage](before))
    report = drill(repository, key)
    assert report.result == "failed"
    assert name in report.sentence or (name == "manifest.json" and str(key) in report.sentence)


@pytest.mark.parametrize("ending", [GLOBALS, "-small.sql.gz", "-small.proof.json.gz"])
def test_a_missing_file(made: Backup, store_folder: Path, ending: str) -> None:
    repository, key = store_in(store_folder), made.cluster_key
    copied(made.repository, key, repository)
    name = the_file(repository, key, ending)
    repository.store.delete([key.prefix + name])
    report = drill(repository, key)
    assert (report.result, name in report.sentence) == ("failed", True), report.sentence


def test_a_file_more(made: Backup, store_folder: Path) -> None:
    repository, key = store_in(store_folder), made.cluster_key
    copied(made.repository, key, repository)
    put(repository, f"{key.prefix}999-more.sql.gz", b"")
    report = drill(repository, key)
    assert (report.result, "999-more.sql.gz" in report.sentence) == ("failed", True), report.sentence


@pytest.mark.parametrize("damage", ["cut in the middle", "a bit in the middle"])
def test_damaged_bytes_of_a_database_set(made: Backup, store_folder: Path, damage: str) -> None:
    repository, key = store_in(store_folder), made.key("small")
    copied(made.repository, key, repository)
    put(repository, f"{key.prefix}small.dump.gz", DAMAGE[damage](read(repository, f"{key.prefix}small.dump.gz")))
    report = drill(repository, key)
    assert (report.result, "small.dump.gz" in report.sentence) == ("failed", True), report.sentence


# Files in each other's place ----------------------------------------------------------------------

PAIRS = {
    "two databases": ("-small.sql.gz", "-other.sql.gz"),
    "two proofs": ("-small.proof.json.gz", "-other.proof.json.gz"),
    "roles and a proof": (ROLES, "-other.proof.json.gz"),
    "roles and a database": (GLOBALS, "-other.sql.gz"),
}


@pytest.mark.parametrize("adapted", [False, True], ids=["as it is", "manifest adapted"])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_swapped_files(made: Backup, store_folder: Path, pair: tuple[str, str], adapted: bool) -> None:
    repository, key = store_in(store_folder), made.cluster_key
    copied(made.repository, key, repository)
    one, two = (the_file(repository, key, ending) for ending in pair)
    first, second = read(repository, key.prefix + one), read(repository, key.prefix + two)
    put(repository, key.prefix + one, second)
    put(repository, key.prefix + two, first)
    if adapted:
        body = read_manifest(repository, key)
        entries = {file.name: file for file in body.files}
        other = {one: two, two: one}
        files = tuple(
            file.model_copy(update={"size": entries[other[file.name]].size, "sha256": entries[other[file.name]].sha256})
            if file.name in other
            else file
            for file in body.files
        )  # fmt: skip
        put(repository, key.manifest, to_json(repository, body.model_copy(update={"files": files})))
    report = drill(repository, key)
    assert report.result == "failed", report.sentence
    assert any(each in evidence(report) for each in (one, two, "small", "other"))


def test_the_dump_of_another_database(made: Backup, store_folder: Path) -> None:
    repository, key = store_in(store_folder), made.key("small")
    copied(made.repository, key, repository)
    stolen = read(made.repository, f"{made.key('other').prefix}other.dump.gz")
    entry = next(file for file in read_manifest(made.repository, made.key("other")).files if file.role == "dump")
    put(repository, f"{key.prefix}small.dump.gz", stolen)
    body = read_manifest(repository, key)
    files = tuple(
        file.model_copy(update={"size": entry.size, "sha256": entry.sha256}) if file.role == "dump" else file
        for file in body.files
    )
    put(repository, key.manifest, to_json(repository, body.model_copy(update={"files": files})))
    report = drill(repository, key)
    assert (report.result, "small.dump.gz did not make database 'small'" in report.sentence) == (
        "failed",
        True,
    )


# Contents that only a proof can tell --------------------------------------------------------------

# Each group is one set with all of it wrong at once: every mistake has to be named.
DATABASE = {
    "schema and more": {
        "table public.item": replaced("1\tone\t", "1\tonf\t"),
        "table public.plain": replaced("3\ty\n3\ty\n", "3\ty\n"),
        "INDEX public by_name": replaced("CREATE INDEX by_name ON public.item USING btree (name);", ""),
        "TABLE public item": replaced("CHECK (((code)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))", "CHECK (true)"),
        "FK CONSTRAINT public line line_item_fkey": replaced("ADD CONSTRAINT line_item_fkey FOREIGN KEY (item) REFERENCES public.item(id)", "ADD CHECK (true)"),
        "TRIGGER public item touched": replaced("CREATE TRIGGER touched BEFORE INSERT ON public.item FOR EACH ROW EXECUTE FUNCTION public.touch();", ""),
        "POLICY public item mine": replaced("CREATE POLICY mine ON public.item USING ((name = CURRENT_USER));", ""),
        "ACL public TABLE item": replaced("GRANT SELECT ON TABLE public.item TO bob;", ""),
        "DEFAULT ACL": replaced("ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES", "GRANT SELECT ON public.pairs"),
        "TABLE public plain owner bob": replaced("ALTER TABLE public.plain OWNER TO bob;", ""),
        "SEQUENCE public ticket": replaced("INCREMENT BY 5", "INCREMENT BY 6"),
        "large object 801": replaced("0123456789abcdef0123", "0123456789abcdee0123"),
        "database property settings": replaced("ALTER DATABASE small SET work_mem TO '6MB';", ""),
        "database property acl": replaced("GRANT CREATE ON DATABASE small TO bob;", ""),
        "database sly": replaced("\\connect small", "CREATE DATABASE sly TEMPLATE template0;\n\\connect small"),
    },
    "data that looks alike": {
        "table public.item": replaced("\t2.50\t", "\t2.5\t"),
        "table public.plain": replaced("1\tx\n2\tx\n", "1\tx\n1\tx\n"),
        "sequence public.ticket": replaced("setval('public.ticket', 1, true)", "setval('public.ticket', 2, true)"),
    },
    "a step that is missing": {"sequence public.ticket": replaced("SELECT pg_catalog.setval('public.ticket', 1, true);", "")},
}  # fmt: skip
ROLE = {
    "attributes, a membership, a role more": {
        "role bob": replaced("NOCREATEROLE CREATEDB NOLOGIN", "NOCREATEROLE NOCREATEDB NOLOGIN"),
        "role O'Hara": replaced("GRANT bob TO \"O'Hara\"", "GRANT pg_monitor TO \"O'Hara\""),
        "role sly": lambda data: data + b"CREATE ROLE sly SUPERUSER LOGIN;\n",
        "role pg_monitor": replaced("GRANT bob TO pg_monitor", "-- GRANT bob TO pg_monitor"),
        "role pg_read_all_data": lambda data: data + b"GRANT bob TO pg_read_all_data;\n",
    },
    "a superuser": {"role bob": replaced("ALTER ROLE bob WITH NOSUPERUSER", "ALTER ROLE bob WITH SUPERUSER")},
    "a setting": {"role bob": replaced("ALTER ROLE bob SET work_mem TO '5MB';", "")},
}  # fmt: skip
ARCHIVE = {
    "table public.item": replaced("1\tone\t", "1\tonf\t"),
    "SEQUENCE public ticket": replaced("INCREMENT BY 5", "INCREMENT BY 6"),
    "INDEX public by_name": replaced("CREATE INDEX by_name ON public.item USING btree (name)", "CREATE INDEX by_name ON public.item USING btree (code)"),
}  # fmt: skip


def all_of(mistakes: Mapping[str, Edit]) -> Edit:
    return lambda data: reduce(lambda so_far, edit: edit(so_far), mistakes.values(), data)


def unnamed(report: DrillResult, mistakes: Mapping[str, Edit]) -> list[str]:
    """The mistakes that the evidence does not name."""
    found = [f"{one.kind} {one.name}" for one in report.differences]
    return [named for named in mistakes if not any(named in one for one in found)]


@pytest.mark.parametrize("mistakes", DATABASE.values(), ids=DATABASE)
def test_a_wrong_database_under_a_right_manifest(made: Backup, mistakes: Mapping[str, Edit]) -> None:
    name = the_file(made.repository, made.cluster_key, "-small.sql.gz")
    report = drill(made.repository, repacked(made.repository, made.cluster_key, {name: all_of(mistakes)}))
    assert (report.result, unnamed(report, mistakes)) == ("failed", []), evidence(report)


@pytest.mark.parametrize("mistakes", ROLE.values(), ids=ROLE)
def test_wrong_roles_under_a_right_manifest(made: Backup, mistakes: Mapping[str, Edit]) -> None:
    report = drill(made.repository, repacked(made.repository, made.cluster_key, {GLOBALS: all_of(mistakes)}))
    assert (report.result, unnamed(report, mistakes)) == ("failed", []), evidence(report)
    assert len(report.differences) == len(mistakes)


def test_a_wrong_archive_under_a_right_manifest(made: Backup) -> None:
    report = drill(made.repository, repacked(made.repository, made.key("small"), {"small.dump.gz": all_of(ARCHIVE)}))
    assert (report.result, unnamed(report, ARCHIVE)) == ("failed", []), evidence(report)


# Edited manifests ---------------------------------------------------------------------------------


def edited(made: Backup, **changes: object) -> SetKey:
    """A copy of the cluster set whose manifest says something else, with a digest that fits; of the files that it names."""
    body = read_manifest(made.repository, made.cluster_key)
    key = body.key.asset.set(new_set_id(body.created, secrets.token_hex(8)))
    there = {file.name for file in body.files}
    body = body.model_copy(update={"set_id": key.set_id, **changes})
    for name in there.intersection(file.name for file in body.files):
        put(made.repository, key.prefix + name, read(made.repository, made.cluster_key.prefix + name))
    put(made.repository, key.manifest, to_json(made.repository, body))
    return key


def facts_but(made: Backup, **changes: object) -> dict[str, object]:
    """The facts of the cluster set, changed."""
    return read_manifest(made.repository, made.cluster_key).facts | changes


def test_a_manifest_edited_by_hand(made: Backup, store_folder: Path) -> None:
    repository, key = store_in(store_folder), made.cluster_key
    copied(made.repository, key, repository)
    put(repository, key.manifest, read(repository, key.manifest).replace(b'"encrypted": false', b'"encrypted": true'))
    report = drill(repository, key)
    assert (report.result, "was changed after it was written" in report.sentence) == ("failed", True)


def test_a_manifest_of_fewer_files(made: Backup) -> None:
    body = read_manifest(made.repository, made.cluster_key)
    for kept, why in (
        ([file for file in body.files if file.role != "proof" or not file.of], "dumps without a proof"),
        ([file for file in body.files if file.role not in ("sql", "dump")], "dumps without a proof"),
        ([file for file in body.files if file.role != "globals"], "lacks its roles"),
        ([file for file in body.files if file.of], "lacks its roles"),
        ([], "dumps without a proof"),
    ):  # fmt: skip
        report = drill(made.repository, edited(made, files=tuple(kept)))
        assert (report.result, why in report.sentence) == ("failed", True), report.sentence


def test_a_manifest_of_a_version_that_is_none(made: Backup) -> None:
    report = drill(made.repository, edited(made, facts=facts_but(made, server_version="../../x")))
    assert (report.result, "names no PostgreSQL version" in report.sentence) == ("failed", True)


# What shows nothing, neither good nor bad ---------------------------------------------------------


@pytest.mark.parametrize("gone", ["before", "meanwhile"])
def test_a_set_that_is_gone_is_not_called_bad(made: Backup, store_folder: Path, gone: str) -> None:
    """Pruned by retention, or by hand: a set without manifest is no set."""
    repository, key = store_in(store_folder), made.key("small")
    copied(made.repository, key, repository)

    def remove(what: str = "", done: int = 0, total: int = 0) -> None:
        if what.startswith("drill of"):
            repository.store.delete([key.manifest])
            repository.store.delete([*repository.store.keys(key.prefix)])

    if gone == "before":
        remove("drill of")
    report = drill(repository, key, remove)
    assert (report.result, "no longer, in" in report.sentence) == ("unverified", True), report.sentence


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_a_program_that_somebody_ended_says_nothing_of_the_set(
    made: Backup, store_folder: Path, number: signal.Signals
) -> None:
    """The kernel without memory, an administrator: were it held against the set, retention would let it go."""
    repository, key = store_in(store_folder), made.key("small")
    copied(made.repository, key, repository)
    while (report := drilled_and_ended(repository, key, number)).result == "passed":
        pass  # it had ended by itself
    assert report.result == "unverified", report.sentence
    assert "failed" not in {one.result for one in catalogue(repository).verdicts}


def drilled_and_ended(repository: Repository, key: SetKey, number: signal.Signals) -> DrillResult:
    """A drill whose pg_restore gets this signal."""
    over = threading.Event()

    def end() -> None:
        while not over.wait(0.002):
            for pid in running_pids():
                if "--exit-on-error" in arguments(pid) and parent_of(pid) == os.getpid():
                    os.kill(pid, number)
                    return

    thread = threading.Thread(target=end)
    thread.start()
    try:
        return drill(repository, key)
    finally:
        over.set()
        thread.join()


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_without_the_right_key_nothing_is_shown(source: Instance, store_folder: Path, tmp_path: Path) -> None:
    identity, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    for name, each in (("right", identity), ("wrong", other)):
        (tmp_path / name).write_text(f"# a key\n{each}\n")
    recipients = (str(identity.to_public()),)
    tagged = store_in(store_folder, recipients=recipients)
    made = back_up(server_of(source), tagged, ["other"])
    for key in (made.cluster_key, made.key("other")):
        for reference, result, why in (
            (f"file:{tmp_path / 'right'}", "passed", "came back equal"),
            (f"file:{tmp_path / 'wrong'}", "unverified", "does not open"),
            (f"file:{tmp_path / 'none'}", "unverified", str(tmp_path / "none")),
            (None, "unverified", "has no identity"),
        ):
            repository = store_in(store_folder, recipients=recipients, identity_reference=reference)
            report = drill(repository, key)
            assert (report.result, why in report.sentence) == (result, True), report.sentence
    for file in read_manifest(tagged, made.cluster_key).files:
        assert read(tagged, made.cluster_key.prefix + file.name).startswith(b"age-encryption.org/v1\n")
    # A changed head looks like another's key, and is not.
    repository = store_in(store_folder, recipients=recipients, identity_reference=f"file:{tmp_path / 'right'}")
    name = made.cluster_key.prefix + the_file(repository, made.cluster_key, "-other.sql.gz.age")
    put(repository, name, read(repository, name).replace(b"-> X25519 ", b"-> X25519 a", 1))
    report = drill(repository, made.cluster_key)
    assert (report.result, "differs from its manifest" in report.sentence) == ("failed", True), report.sentence


def test_what_this_host_lacks_is_not_held_against_the_set(made: Backup) -> None:
    name = the_file(made.repository, made.cluster_key, "-other.sql.gz")
    for old, new, why in (
        ("LOCALE = 'C.UTF-8'", "LOCALE = 'xx_YY.UTF-8'", "invalid LC_COLLATE locale name"),
        ("CREATE TABLE public.t (", "CREATE TABLE public.t ( z text COMPRESSION lz4, ", "compression method lz4 not supported"),
    ):  # fmt: skip
        report = drill(made.repository, repacked(made.repository, made.cluster_key, {name: replaced(old, new)}))
        assert (report.result, why in report.sentence) == ("unverified", True), report.sentence
    report = drill(made.repository, edited(made, facts=facts_but(made, extensions={"small": {"postgis": "3.4"}})))
    assert (report.result, "lacks the extension postgis" in report.sentence) == ("unverified", True)
    report = drill(made.repository, edited(made, facts=facts_but(made, server_version="11.22")))
    assert (report.result, "must be PostgreSQL 11" in report.sentence) == ("unverified", True)
