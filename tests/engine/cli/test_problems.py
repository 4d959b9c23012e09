"""What goes wrong: the sentence, the exit code, and nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from engine.errors import ConfigurationError
from engine.hosts.processes import ProcessIdentity, arguments, running_pids
from engine.repository.lease import lease
from engine.repository.repository import Repository
from engine.sources.postgres.restore.choice import RestoreChoice
from engine.sources.postgres.restore.operation import RestoreRun
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.server.lock import backup_lock
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.settings import ServerSettings
from engine.stores.folder import FolderStore
from tests.engine.cli.command import COMMAND, Answer
from tests.engine.cli.conftest import DATABASE, PASSWORD
from tests.engine.cli.site import Site, environment, new_site
from tests.engine.repository.made import MemoryStore, a_key


def test_an_unknown_source_is_exit_2_and_names_the_known_ones(empty_site: Site) -> None:
    answer = empty_site.run("backup", "--source", "platfrom")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.problem == ("platformctl: There is no source 'platfrom' in the configuration; there are: platform.")


def test_a_source_must_be_named_when_there_are_two(empty_site: Site) -> None:
    with empty_site.config.open("a") as config:
        config.write('[servers.other]\nstore = "nightly"\n')
    answer = empty_site.run("backup")
    assert answer.code == 2
    assert answer.problem.endswith("The configuration has 2 sources: platform, other; name one with --source.")


def test_an_unknown_database_is_exit_2(empty_site: Site) -> None:
    answer = empty_site.run("backup", "--database", "nope")
    assert answer.code == 2
    assert "has no database 'nope'; it has: " in answer.problem
    assert not empty_site.store.exists()


def test_a_server_that_is_not_there_is_exit_1(empty_site: Site) -> None:
    text = empty_site.config.read_text()
    empty_site.config.write_text(text.replace('user = "postgres"\n', 'user = "postgres"\nsslmode = "disable"\n'))
    lines = [line for line in text.splitlines() if not line.startswith("host")]
    lines.insert(1, f'host = "{empty_site.folder}"')
    empty_site.config.write_text("\n".join(lines))
    answer = empty_site.run("backup", "--json")
    assert (answer.code, answer.document["error"]["kind"]) == (1, "TransientFailure")
    assert answer.problem.startswith("platformctl: platform (")


def test_an_unknown_set_is_exit_2(backed_up: tuple[Site, Answer]) -> None:
    for command in ("show", "verify", "drill"):
        answer = backed_up[0].run(command, "20200101T000000Z-abcd1234")
        assert answer.code == 2
        assert answer.problem.endswith("`list` shows those that are stored.")


@pytest.mark.parametrize("command", ["show", "restore"])
def test_a_set_s_key_and_another_source_contradict_each_other(command: str, empty_site: Site) -> None:
    with empty_site.config.open("a") as config:
        config.write('[servers.other]\nstore = "nightly"\n')
    key = "platform/db/app/20260207T170000Z-abcd1234"
    requested = ("--set", key, "--database", "app") if command == "restore" else (key,)
    answer = empty_site.run(command, *requested, "--source", "other")
    assert answer.code == 2
    assert answer.problem == f"platformctl: {key} is a set of platform, not of other; leave out --source."


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "platform/cluster/../..", "--", "\x1b[31m"])
def test_a_hostile_set_name_is_refused(hostile: str, backed_up: tuple[Site, Answer]) -> None:
    answer = backed_up[0].run("show", "--json", "--", hostile)
    assert (answer.code, answer.document["error"]["exit_code"]) == (2, 2)
    assert "\x1b" not in answer.stderr


@pytest.mark.parametrize("command", ["list", "prune"])
def test_a_hostile_source_name_is_refused(command: str, backed_up: tuple[Site, Answer]) -> None:
    answer = backed_up[0].run(command, "--store", "nightly", "--source", "../other")
    assert answer.code == 2
    assert "is not a name of a source" in answer.problem


def test_another_backup_of_the_server_is_exit_4(empty_site: Site, postgres_server: Instance) -> None:
    settings = ServerSettings(host=str(postgres_server.socket), port=postgres_server.port, store="nightly")
    with backup_lock(Server("platform", settings), "the test"):
        answer = empty_site.run("backup", "--json")
    assert (answer.code, answer.document["error"]["kind"]) == (4, "LockedByAnother")
    assert "held by 'platform-ops lock the test'" in answer.problem
    assert not empty_site.store.exists()


def test_another_pruning_of_the_store_is_exit_4(copied: Site) -> None:
    with lease(FolderStore("nightly", copied.store), "platform", "prune", "the test"):
        answer = copied.run("prune", "--delete", "--json")
    assert (answer.code, answer.document["error"]["kind"]) == (4, "LockedByAnother")
    assert "'the test'" in answer.problem


def test_a_database_that_fails_does_not_stop_the_others(
    postgres_server: Instance, databases: str, tmp_path: Path
) -> None:
    site = new_site(tmp_path, postgres_server, server_lines="lock_wait_seconds = 1")
    with psycopg.connect(postgres_server.conninfo(DATABASE)) as blocker:
        blocker.execute("LOCK TABLE orders")
        answer = site.run("backup", "--json")
    assert answer.code == 1
    result = answer.document["result"]
    assert [(one["kind"], one["name"]) for one in result["failed"]] == [("db", DATABASE)]
    assert (result["whole"], "postgres" in [one["name"] for one in result["stored"]]) == (None, True)
    assert f"Database {DATABASE!r} was not backed up: " in answer.problem
    assert {path.split("/")[1] for path in site.files()} == {"db"}


def test_a_second_store_that_missed_the_backup_is_exit_5(
    postgres_server: Instance, databases: str, tmp_path: Path
) -> None:
    (tmp_path / "offsite").write_text("a file where the folder should be")
    second = f'[stores.offsite]\nkind = "folder"\npath = "{tmp_path / "offsite"}"'
    site = new_site(tmp_path, postgres_server, 'copies = ["offsite"]', second)
    answer = site.run("backup", "--database", DATABASE, "--json")
    assert (answer.code, answer.document["error"]["kind"]) == (5, "PartialSuccess")
    assert str(tmp_path / "offsite") in answer.problem
    key = answer.document["result"]["stored"][0]["set_key"]
    assert f"{key}/manifest.json" in site.files()


def test_a_damaged_file_fails_verify_and_drill(copied: Site) -> None:
    dump = next(copied.store.rglob("cli*.dump.gz"))
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(data)
    verified = copied.run("verify", "newest", "--database", DATABASE, "--json")
    assert (verified.code, verified.document["ok"]) == (1, False)
    assert verified.document["result"]["sets"][0]["not_equal"][0]["name"] == dump.name
    assert f"differs from its manifest: {dump.name} has other bytes than the manifest says" in verified.problem
    drilled = copied.run("drill", "--database", DATABASE, "--json")
    assert (drilled.code, drilled.document["result"]["result"]) == (1, "failed")
    assert copied.run("show", "newest", "--database", DATABASE, "--json").document["result"]["state"] == "failed"
    restored = copied.run("restore", "--database", DATABASE, "--set", dump.parent.name, "--json")
    assert (restored.code, restored.document["result"]["restored"]) == (1, [])


def test_a_manifest_of_a_newer_version_is_exit_3(copied: Site) -> None:
    for path in copied.store.rglob("manifest.json"):
        path.write_text('{"schema": 2}')
    assert copied.run("show").code == 3
    assert copied.run("verify", "newest").code == 3
    assert copied.run("drill").code == 3


def test_a_wrong_password_is_exit_2_and_is_not_repeated(password_server: Instance, tmp_path: Path) -> None:
    site = _password_site(password_server, tmp_path, "wrong-canary-77")
    answer = site.run("backup", "--debug")
    assert answer.code == 2
    assert "refuses user 'postgres'" in answer.problem
    assert "wrong-canary" not in answer.stdout + answer.stderr


def test_a_password_is_nowhere_to_be_seen(password_server: Instance, tmp_path: Path) -> None:
    site = _password_site(password_server, tmp_path, PASSWORD)
    running = subprocess.Popen(
        [*COMMAND, "backup", "--debug", "--json"],
        cwd=site.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    seen: set[str] = set()
    while running.poll() is None:
        seen.update(" ".join(arguments(pid)) for pid in running_pids())
    stdout, stderr = running.communicate()
    assert running.returncode == 0, stderr
    assert any("/pg_dump " in line for line in seen)
    assert not [line for line in seen if PASSWORD in line]
    assert PASSWORD.encode() not in stdout + stderr
    assert not [path for path in site.store.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]


def _password_site(server: Instance, folder: Path, password: str) -> Site:
    (folder / "password").write_text(f"{password}\n")
    site = new_site(folder, server, server_lines=f'password = "file:{folder / "password"}"')
    site.config.write_text(site.config.read_text().replace(str(server.socket), "127.0.0.1"))
    return site


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_backup_with_all_it_started(
    number: signal.Signals, code: int, empty_site: Site, postgres_server: Instance
) -> None:
    with psycopg.connect(postgres_server.conninfo(DATABASE)) as blocker:
        blocker.execute("LOCK TABLE orders")  # pg_dump waits for it
        running = subprocess.Popen(
            # One database only: another that had ended before the signal would rightly have its set.
            [*COMMAND, "backup", "--database", DATABASE, "--json"],
            cwd=empty_site.folder,
            env=environment() | {"PYTHONFAULTHANDLER": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        _await_waiting_dump(postgres_server)
        children = _children(running.pid)
        assert children
        running.send_signal(number)
        try:
            stdout, stderr = running.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGABRT)  # it tells where each of its threads is
            pytest.fail(f"The signal did not end it: {running.communicate()[1]}")
    assert running.returncode == code, stderr
    answer = Answer(code, stdout, stderr)
    assert answer.document["error"]["exit_code"] == code
    assert answer.problem.startswith(f"platformctl: Ended by {number.name}; ")
    assert not [child for child in children if child.alive()]
    assert empty_site.files() == set()
    assert empty_site.run("backup", "--database", DATABASE).code == 0


def test_a_signal_leaves_nothing_of_the_cluster_set(empty_site: Site, postgres_server: Instance) -> None:
    """What was stored before it keeps its sets; what the others put into the closing set goes."""
    with psycopg.connect(postgres_server.conninfo(DATABASE)) as blocker:
        blocker.execute("LOCK TABLE orders")
        running = subprocess.Popen(
            [*COMMAND, "backup"],
            cwd=empty_site.folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _await_waiting_dump(postgres_server)
            deadline = time.monotonic() + 30
            while not any(file.startswith("platform/cluster/") for file in empty_site.files()):
                assert time.monotonic() < deadline, "no other database was stored"
                time.sleep(0.05)
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 143
        finally:
            running.kill()
            running.wait()
    assert [file for file in empty_site.files() if not file.startswith("platform/db/")] == []
    assert empty_site.run("verify").code in (0, 3)  # 3: the signal came before the first set


def test_in_place_names_all_that_lack_a_confirmation() -> None:
    server = Server("platform", ServerSettings(store="nightly"))
    choices = [RestoreChoice(name, a_key("2026-02-07", name), "proven") for name in ("desk", "hub", "new")]
    run = RestoreRun(Repository(MemoryStore()), "platform", server, (), "newest", True, choices, live=("desk", "hub"))
    message = r"^In place takes the place of 'desk', 'hub': repeat each name in `confirm`\. Nothing was done\.$"
    with pytest.raises(ConfigurationError, match=message):
        run.require_confirmed((), "`confirm`")
    with pytest.raises(ConfigurationError, match="takes the place of 'hub': "):
        run.require_confirmed(("desk", "new"), "--confirm")
    with pytest.raises(ConfigurationError, match="--confirm names 'nope', which is not restored; nothing was done"):
        run.require_confirmed(("desk", "hub", "nope"), "--confirm")
    run.require_confirmed(("desk", "hub"), "--confirm")


def _await_waiting_dump(server: Instance) -> None:
    query = (
        "SELECT FROM pg_stat_activity WHERE application_name = 'platform-ops dump' AND wait_event_type = 'Lock'"
        " AND query LIKE 'LOCK TABLE%'"
    )
    deadline = time.monotonic() + 30
    with psycopg.connect(server.conninfo(), autocommit=True) as watcher:
        while watcher.execute(query).fetchone() is None:
            assert time.monotonic() < deadline, "pg_dump did not come to the locked table"
            time.sleep(0.05)


def _children(parent: int) -> list[ProcessIdentity]:
    listed = Path(f"/proc/{parent}/task").glob("*/children")
    pids = [int(pid) for path in listed for pid in path.read_text().split()]
    return [identity for pid in pids if (identity := ProcessIdentity.of(pid))]
