"""What happens on the server while it is backed up: restarts, locks, changes, a standby."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from engine.hosts.processes import arguments, running_pids
from engine.sources.postgres.programs.installed import client_programs
from engine.sources.postgres.scratch.instance import Instance
from tests.conftest import LIVE, MAJOR
from tests.engine.cli.command import Answer
from tests.engine.sources.postgres.backups import execute
from tests.engine.sources.postgres.standby import standby_of
from tests.faults.conftest import DATABASE, fill
from tests.faults.gates import wait_for
from tests.faults.site import FaultSite, fault_site, sentences
from tests.faults.test_killed import WAITING, environment_of

PROVING = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'platform-ops dump'"
    " AND query LIKE 'SELECT pg_catalog.count(*)%' AND query LIKE '%bulky%' AND state = 'active'"
)


@pytest.fixture
def own(server_base: Path) -> Iterator[Instance]:
    """A server of this test alone, which it may stop and kill."""
    server = Instance(server_base / "pg", client_programs(MAJOR), settings=LIVE)
    server.create(sync=False)
    server.start()
    fill(server)
    yield server
    server.remove()


def _meanwhile(site: FaultSite, act: Callable[[], object], *arguments: str) -> Answer:
    """Run the command, and `act` in a thread beside it."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    answer = site.run(*arguments)
    thread.join()
    if failures:
        raise failures[0]
    return answer


def _failed_whole(site: FaultSite, answer: Answer, message: str) -> None:
    """Exit code 1, one sentence, nothing stored; and the next run works."""
    [sentence] = sentences(answer)
    assert (answer.code, message in sentence) == (1, True), answer.stderr
    assert [path for path in site.store.rglob("*") if path.is_file()] == []
    again = site.run("backup", "--database", DATABASE)
    assert again.code == 0, again.stderr


@pytest.mark.parametrize("killed", [False, True], ids=["restarted", "killed"])
def test_the_server_goes_away_in_the_middle(killed: bool, own: Instance, tmp_path: Path) -> None:
    site = fault_site(tmp_path, own)
    with psycopg.connect(own.conninfo(DATABASE)) as blocker:
        blocker.execute("LOCK TABLE orders")

        def restart() -> None:
            wait_for(lambda: execute(own, "postgres", WAITING) == [(1,)])
            running = own.running()
            assert running is not None
            if killed:
                running.send(signal.SIGKILL)
            own.stop()
            own.start()

        answer = _meanwhile(site, restart, "backup", "--database", DATABASE)
        blocker.close()
    _failed_whole(site, answer, "was lost during the backup; run it again.")


def test_the_lock_s_session_is_lost_in_the_middle(site: FaultSite, fault_server: Instance) -> None:
    """Another run may hold the lock by now: what is stored stays, and nothing more is done."""
    lost = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'platform-ops lock%'"
    with psycopg.connect(fault_server.conninfo(DATABASE)) as blocker:
        blocker.execute("LOCK TABLE orders")

        def lose() -> None:
            wait_for(lambda: execute(fault_server, "postgres", WAITING) == [(1,)])
            execute(fault_server, "postgres", lost)
            blocker.rollback()

        answer = _meanwhile(site, lose, "backup")
    [sentence] = sentences(answer)
    assert (answer.code, "was lost during the backup; run it again." in sentence) == (1, True), answer.stderr
    assert list(site.store.glob("platform/cluster/*/*")) == []
    assert site.run("verify").code == 0
    assert site.run("backup").code == 0


def test_a_stopped_pg_dump_is_ended(site: FaultSite, fault_server: Instance) -> None:
    site.write({"stall_minutes": 0.05}, {})
    stopped: list[int] = []
    with psycopg.connect(fault_server.conninfo(DATABASE)) as blocker:
        blocker.execute("LOCK TABLE orders")

        def stop() -> None:
            wait_for(lambda: execute(fault_server, "postgres", WAITING) == [(1,)])
            stopped.extend(_dumps_of(fault_server))
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            blocker.rollback()

        answer = _meanwhile(site, stop, "backup", "--database", DATABASE)
    assert len(stopped) == 1
    assert not Path(f"/proc/{stopped[0]}").exists()
    _failed_whole(site, answer, "pg_dump of 'app' gave no byte for 3 s and was ended")


def _first(look: Callable[[], list[int]]) -> int:
    found: list[int] = []

    def seen() -> bool:
        found.extend(look())
        return bool(found)

    wait_for(seen)
    return found[0]


def _dumps_of(server: Instance) -> list[int]:
    mark = f"PGHOST={server.socket}".encode()
    return [pid for pid in running_pids() if _program(pid) == "pg_dump" and mark in environment_of(pid)]


def _program(pid: int) -> str:
    return Path((*arguments(pid), "")[0]).name


def _stepped(pid: int) -> bool:
    """Let a stopped session go on for a moment: it may hold what the dump waits for, such as a page. Never true."""
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.002)
    os.kill(pid, signal.SIGSTOP)
    return False


def test_a_change_that_waits_for_the_dump_spoils_no_proof(
    site: FaultSite, fault_server: Instance, server_base: Path
) -> None:
    """TRUNCATE empties a table for older snapshots too: the proof must not come after it."""
    execute(fault_server, "postgres", "CREATE DATABASE changing TEMPLATE template0")
    rows = "AS SELECT n, repeat(md5(n::text), 20) AS t FROM generate_series(1, %d) n"
    execute(fault_server, "changing", f"CREATE TABLE bulky {rows % 60000}", f"CREATE TABLE last {rows % 100}")
    execute(fault_server, "changing", "ANALYZE")
    changer = psycopg.connect(fault_server.conninfo("changing"), autocommit=True)

    def change() -> None:
        proving = _first(lambda: [pid for (pid,) in execute(fault_server, "postgres", PROVING)])
        truncate = threading.Thread(target=changer.execute, args=("TRUNCATE last",))
        os.kill(proving, signal.SIGSTOP)  # the proof is slow
        try:
            assert _dumps_of(fault_server) != []
            truncate.start()
            wait_for(lambda: _dumps_of(fault_server) == [] or _stepped(proving))
            truncate.join(0.5)
        finally:
            os.kill(proving, signal.SIGCONT)
            if truncate.ident is not None:
                truncate.join()

    try:
        site.write({}, {})
        answer = _meanwhile(site, change, "backup", "--database", "changing")
        assert answer.code == 0, answer.stderr
        assert execute(fault_server, "changing", "SELECT count(*) FROM last") == [(0,)]
        drilled = site.run("drill", "--database", "changing")
        assert drilled.code == 0, drilled.stderr
        assert "60,100 rows came back equal" in drilled.stdout
    finally:
        changer.close()
        execute(fault_server, "postgres", "DROP DATABASE changing WITH (FORCE)")


def test_a_database_that_is_made_meanwhile_is_in_the_next_backup(own: Instance, tmp_path: Path) -> None:
    site = fault_site(tmp_path, own)
    with psycopg.connect(own.conninfo(DATABASE)) as blocker:
        blocker.execute("LOCK TABLE orders")

        def create() -> None:
            wait_for(lambda: execute(own, "postgres", WAITING) == [(1,)])
            execute(own, "postgres", "CREATE DATABASE newborn TEMPLATE template0")
            blocker.rollback()

        answer = _meanwhile(site, create, "backup", "--json")
    assert answer.code == 0, answer.stderr
    assert "newborn" not in {one["name"] for one in answer.document["result"]["stored"]}
    again = site.run("backup", "--json")
    assert "newborn" in {one["name"] for one in again.document["result"]["stored"]}


LEAVING = (
    "CREATE DATABASE leaving TEMPLATE template0",
    "CREATE ROLE visitor",
    "ALTER DATABASE leaving SET work_mem = '8MB'",
    "ALTER ROLE visitor IN DATABASE leaving SET work_mem = '9MB'",
    "GRANT CREATE ON DATABASE leaving TO visitor",
)


def _dropping(own: Instance, site: FaultSite, *arguments: str, again: str = "") -> Answer:
    """A backup of all, one at a time, with `leaving` dropped while the first one waits."""
    execute(own, "postgres", *LEAVING)
    site.write({"jobs": 1, "exclude": ["template1", "postgres"]}, {})
    with psycopg.connect(own.conninfo(DATABASE)) as blocker:
        blocker.execute("LOCK TABLE orders")

        def drop() -> None:
            wait_for(lambda: execute(own, "postgres", WAITING) == [(1,)])
            execute(own, "postgres", "DROP DATABASE leaving", *filter(None, [again]))
            blocker.rollback()

        return _meanwhile(site, drop, "backup", "--json", *arguments)


def test_a_database_dropped_after_it_was_listed(own: Instance, tmp_path: Path) -> None:
    """The cluster set is the server as it is now; report and manifest name what is gone."""
    site = fault_site(tmp_path, own)
    answer = _dropping(own, site)
    assert answer.code == 0, answer.stderr
    result = answer.document["result"]
    assert ([one["name"] for one in result["stored"]], result["failed"]) == ([DATABASE], [])
    line = "database leaving: it was dropped while the backup ran"
    assert line in result["whole"]["missing"]
    assert list(site.store.rglob("*leaving*")) == []
    shown = site.run("show").stdout
    assert line in shown
    assert site.run("verify").code == 0
    drilled = site.run("drill", "--json")  # roles, settings and grants of what is gone stop no restore
    assert drilled.code == 0, drilled.stderr
    assert line in drilled.document["result"]["missing"]
    assert site.run("list", "--json").document["result"]["stores"][0]["incomplete"] == []


def test_a_database_that_was_asked_for_and_is_dropped(own: Instance, tmp_path: Path) -> None:
    site = fault_site(tmp_path, own)
    answer = _dropping(own, site, "--database", DATABASE, "--database", "leaving")
    assert answer.code == 1, answer.stderr
    assert [one["name"] for one in answer.document["result"]["failed"]] == ["leaving"]
    assert "Database 'leaving' of platform" in answer.problem
    assert "was dropped while the backup ran; no set of this run holds it" in answer.problem


@pytest.mark.parametrize(
    "again", ["ALTER DATABASE other RENAME TO another", "CREATE DATABASE leaving ALLOW_CONNECTIONS false"]
)
def test_a_database_that_only_cannot_be_reached_is_not_taken_for_dropped(
    again: str, own: Instance, tmp_path: Path
) -> None:
    """Renamed it is still there; and one of the same name may be the same for who restores."""
    site = fault_site(tmp_path, own)
    execute(own, "postgres", "CREATE DATABASE other TEMPLATE template0")
    answer = _dropping(own, site, again=again)
    assert (answer.code, answer.document["result"]["whole"]) == (1, None), answer.stderr
    failed = [one["name"] for one in answer.document["result"]["failed"]]
    assert failed == (["other"] if "other" in again else ["leaving"])


def test_a_database_dropped_by_force_under_its_dump(own: Instance, tmp_path: Path) -> None:
    site = fault_site(tmp_path, own)
    with psycopg.connect(own.conninfo(DATABASE)) as blocker:
        blocker.execute("LOCK TABLE orders")

        def drop() -> None:
            wait_for(lambda: execute(own, "postgres", WAITING) == [(1,)])
            execute(own, "postgres", f"DROP DATABASE {DATABASE} WITH (FORCE)")

        answer = _meanwhile(site, drop, "backup", "--json")
        blocker.close()
    assert answer.code == 0, answer.stderr
    assert f"database {DATABASE}: it was dropped while the backup ran" in answer.document["result"]["missing"]
    assert site.run("drill").code == 0


def test_a_standby_can_be_backed_up_and_drilled(own: Instance, tmp_path: Path) -> None:
    unlogged = "CREATE UNLOGGED TABLE cache (id int GENERATED ALWAYS AS IDENTITY, a text)"
    execute(own, DATABASE, unlogged, "INSERT INTO cache (a) VALUES ('x')", "CREATE UNLOGGED SEQUENCE ticket START 7")
    with standby_of(own) as standby:
        site = fault_site(tmp_path, standby)
        answer = site.run("backup", "--json")
        assert answer.code == 0, answer.stderr
        named = [line for line in answer.document["result"]["missing"] if "what is unlogged" in line]
        assert named == [
            f"{DATABASE}: what is unlogged: public.cache, public.cache_id_seq, public.ticket (a standby has no rows and "
            "values of these: back up the primary)"
        ]
        for kind in ("cluster", "db"):
            answer = site.run("drill", *(("--database", DATABASE) if kind == "db" else ()))
            assert answer.code == 0, answer.stderr
