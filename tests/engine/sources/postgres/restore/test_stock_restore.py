"""What is stored restores with stock tools alone: gunzip, psql, pg_restore, and age where it is encrypted."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from engine.repository.manifest import read_manifest
from engine.sources.postgres.programs.installed import client_programs
from engine.sources.postgres.scratch.instance import Instance
from tests.conftest import MAJOR
from tests.engine.sources.postgres.backups import Backup, back_up, execute, server_of, store_in

PROGRAMS = client_programs(MAJOR)
_PAGE = Path(__file__).parents[5] / "docs" / "restore.md"
_UNSETTLED = re.compile(r"\\(?:un)?restrict ")


def shell(command: str, repository: Instance, **environment: str) -> str:
    """Run a line as an operator would, with nothing of ours in PATH; its output."""
    done = typed(command, repository, **environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def typed(command: str, repository: Instance, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same, however it ends."""
    path = f"{PROGRAMS}:{os.environ['PATH']}"
    connection = {"PGHOST": str(repository.socket), "PGPORT": str(repository.port), "PGUSER": repository.superuser}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env={"PATH": path, "LC_ALL": "C.UTF-8", **connection, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def by_hand(folder: Path, database: str | None = None, identity: Path | None = None) -> str:
    """The lines of docs/restore.md for a cluster set, or for one database's, in this folder; of an encrypted set with
    the replacements that the page names."""
    page = _PAGE.read_text(encoding="utf8")
    place = f"cd <store>/<server>/{'db/<database>' if database else 'cluster'}/<set>\n"
    lines, _, after = page.partition(place)[2].partition("```")
    if identity is not None:
        message = re.search(r"Encrypted.*?`(age [^`]*)`\s+in\s+the\s+place\s+of\s+`([^`]*)`", after, re.DOTALL)
        assert message is not None
        instead = message[1].replace("key.txt", shlex.quote(str(identity))).replace("FILE", r"\1")
        lines = re.sub(re.escape(message[2]).replace("FILE", r"(\S+)"), instead, lines)
        lines = lines.replace("*.sql.gz", "*.sql.gz.age")
    return f"cd {shlex.quote(str(folder))}\n{lines.replace('<database>', database or '')}"


def lines(server: Instance, command: str) -> Counter[str]:
    """What a dump says, as lines in any order; an inherited table's columns may come in any order too."""
    return Counter(
        "\t".join(sorted(_COLUMNS.sub(_sorted, line).rstrip(",").split("\t")))
        for line in shell(command, server).splitlines()
        if line and not _UNSETTLED.match(line)
    )


_COLUMNS = re.compile(r"(?<=^COPY )(.*) \((.*)\)(?= FROM stdin;$)")


def _sorted(found: re.Match[str]) -> str:
    return f"{found[1]} {sorted(found[2].split(', '))}"


def differing(before: Counter[str], after: Counter[str]) -> list[str]:
    return [f"- {line}" for line in (before - after)] + [f"+ {line}" for line in (after - before)]


def test_a_cluster_set_restores_into_an_empty_server(
    demo_server: Instance, demo_backup: Backup, empty_server: Instance
) -> None:
    # One role is there already, another than the one everybody has.
    execute(empty_server, "postgres", "CREATE ROLE kohub CREATEROLE", "CREATE ROLE stranger")
    reported = shell(by_hand(Path(demo_backup.repository.store.address) / str(demo_backup.cluster_key)), empty_server)
    assert reported == "9 of 9 files came back\n"
    execute(empty_server, "postgres", "DROP ROLE stranger")
    assert differing(lines(demo_server, "pg_dumpall"), lines(empty_server, "pg_dumpall")) == []


def test_a_damaged_or_missing_file_ends_the_line_before_anything_is_restored(
    demo_backup: Backup, empty_server: Instance, tmp_path: Path
) -> None:
    """`gunzip | psql` alone takes half a table for a whole one, and ends well."""
    whole = Path(demo_backup.repository.store.address) / str(demo_backup.cluster_key)
    victim = next(path.name for path in sorted(whole.glob("*-kohub.sql.gz")))
    for number in (0, 1):
        folder = shutil.copytree(whole, tmp_path / str(number))
        if number:
            (folder / victim).unlink()
        else:
            os.truncate(folder / victim, (folder / victim).stat().st_size // 2)
        done = typed(by_hand(folder), empty_server)
        assert (done.returncode != 0, done.stdout.splitlines()[-1:]) == (
            True,
            [f"{victim}: FAILED{' open or read' * number}"],
        )
        assert execute(empty_server, "postgres", "SELECT count(*) FROM pg_database") == [(3,)]


def test_a_database_set_restores_with_pg_restore(
    demo_server: Instance, demo_backup: Backup, empty_server: Instance, tmp_path: Path
) -> None:
    folder = Path(demo_backup.repository.store.address) / str(demo_backup.key("kohub"))
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    with (damaged / "kohub.dump.gz").open(
        "r+b"
    ) as file:  # gunzip writes all of it, and then says that its CRC is another
        file.seek(-8, os.SEEK_END)
        file.write(b"1234")
    before = execute(empty_server, "postgres", "SELECT count(*) FROM pg_roles")
    done = typed(by_hand(damaged, "kohub"), empty_server)
    assert (done.returncode != 0, done.stdout) == (True, "kohub.dump.gz: FAILED\n")
    assert execute(empty_server, "postgres", "SELECT count(*) FROM pg_roles") == before
    whole = shutil.copytree(folder, tmp_path / "whole")
    assert shell(by_hand(whole, "kohub"), empty_server) == "restored\n"
    counts = (
        "SELECT count(*), (SELECT count(*) FROM code.metric), (SELECT sum(stars) FROM code.repository) FROM pg_class"
    )
    assert execute(empty_server, "kohub", counts) == execute(demo_server, "kohub", counts)
    assert differing(lines(demo_server, "pg_dump kohub"), lines(empty_server, "pg_dump kohub")) == []


@pytest.mark.skipif(shutil.which("age") is None, reason="this host has no age")
def test_encrypted_sets_restore_with_age(
    postgres_server: Instance,
    new_database: Callable[..., str],
    empty_server: Instance,
    tmp_path: Path,
    store_folder: Path,
) -> None:
    identity, second = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    (tmp_path / "key").write_text(f"{second}\n")
    execute(postgres_server, new_database("sealed"), "CREATE TABLE t AS SELECT 'canary' AS a")
    repository = store_in(store_folder, recipients=(str(identity.to_public()), str(second.to_public())))
    made = back_up(server_of(postgres_server), repository, ["template1", "sealed"])
    folder, private = Path(repository.store.address), tmp_path / "key"
    assert shell(by_hand(folder / str(made.cluster_key), identity=private), empty_server) == "3 of 3 files came back\n"
    assert execute(empty_server, "sealed", "SELECT a FROM t") == [("canary",)]
    execute(empty_server, "postgres", "DROP DATABASE sealed")
    whole = shutil.copytree(folder / str(made.key("sealed")), tmp_path / "whole")
    assert shell(by_hand(whole, "sealed", private), empty_server) == "restored\n"
    assert execute(empty_server, "sealed", "SELECT a FROM t") == [("canary",)]
    for key in (made.cluster_key, made.key("sealed")):
        for file in read_manifest(repository, key).files:
            path = Path(repository.store.address) / str(key) / file.name
            assert (path.stat().st_mode & 0o777, b"canary" in path.read_bytes()) == (0o600, False)
            assert path.parent.stat().st_mode & 0o777 == 0o700
