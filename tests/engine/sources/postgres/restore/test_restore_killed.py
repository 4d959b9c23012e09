"""kill -9 of a restore at every step: the live database is whole, and the next run leaves nothing of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.hosts.processes import arguments, running_pids
from engine.repository.lease import leased_sets
from engine.sources.postgres.restore.replay import APPLICATION
from engine.sources.postgres.restore.restore import RestoreChoice, restore_databases
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.postgres.server.working import WORKING_PREFIX
from tests.conftest import LIVE, MAJOR
from tests.engine.sources.postgres.backups import Backup, back_up, execute, run_script, server_of, store_in

PAUSE = "ALTER ROLE postgres {} po.pause"
# Each row costs a pause when it is loaded and when it is indexed, where the server's role asks for one.
SLOW = """
CREATE FUNCTION slowly(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(coalesce(nullif(current_setting('po.pause', true), ''), '0')::float8); RETURN a; END $$;
CREATE TABLE t (a int CHECK (slowly(a) = a));
CREATE INDEX late ON t (slowly(a));
INSERT INTO t SELECT i FROM generate_series(1, 60) AS i;
"""
RUN = """
import sys, time
from pathlib import Path
import psycopg
from engine.sources.postgres.restore.load import archive as filling_from_archive
from engine.sources.postgres.restore import restore
from engine.sources.postgres.scratch.instance import Instance
from engine.repository.parsing import parse_set_folder
from tests.engine.sources.postgres.backups import server_of, store_in

folder, programs, store, key, step = sys.argv[1:]

def stop(*_):
    print("here", flush=True)
    time.sleep(600)

commit = psycopg.Connection.commit

def stop_when_renamed(connection):
    stop() if sys._getframe(1).f_code.co_name == "_rename" else commit(connection)

place = {
    "locked": (restore, "drop_working"),
    "checked": (restore, "create_missing_roles"),
    "unpacking": (filling_from_archive, "_before_data"),
    "loaded": (filling_from_archive, "finish_database"),
    "proving": (restore, "compare_databases"),
}.get(step)
if place:
    setattr(*place, stop)
if step == "renaming":  # both names are changed, and nobody sees it yet
    psycopg.Connection.commit = stop_when_renamed
choice = restore.RestoreChoice("slow", parse_set_folder(key))
restore.restore_databases(store_in(Path(store)), server_of(Instance(Path(folder), Path(programs))), [choice], in_place=True)
"""


@pytest.fixture(scope="module")
def goal() -> Iterator[Instance]:
    with scratch_server(MAJOR, settings=LIVE) as server:
        yield server


@pytest.fixture(scope="module")
def made(goal: Instance, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """A set of a database of this very server."""
    execute(goal, "postgres", "CREATE DATABASE slow")
    run_script(goal, "slow", SLOW)
    return back_up(server_of(goal), store_in(tmp_path_factory.mktemp("killed")), ["slow"], cluster=False)


@pytest.fixture
def live(goal: Instance, made: Backup) -> Iterator[Instance]:
    """What is live is another database than the set's: its one table is `old`."""
    for name in databases(goal):
        execute(goal, "postgres", f'DROP DATABASE "{name}" WITH (FORCE)')
    execute(goal, "postgres", "CREATE DATABASE slow")
    execute(goal, "slow", "CREATE TABLE old (a int)")
    yield goal
    execute(goal, "postgres", PAUSE.format("RESET"))


def databases(server: Instance) -> set[str]:
    rows = execute(server, "postgres", "SELECT datname FROM pg_database WHERE oid >= 16384")
    return {row[0] for row in rows}


def busy_with(server: Instance, statement: str) -> bool:
    query = f"SELECT 1 FROM pg_stat_activity WHERE datname LIKE '{WORKING_PREFIX}%' AND query LIKE '{statement}%'"
    return bool(execute(server, "postgres", query))


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "step", ["locked", "checked", "unpacking", "COPY", "loaded", "CREATE INDEX", "proving", "renaming"]
)
def test_killed(live: Instance, made: Backup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    key, repository = made.key("slow"), made.repository
    execute(live, "postgres", PAUSE.format("SET") + f" = '{0.03 * step.isupper()}'")
    argv = [sys.executable, "-c", RUN, live.folder, live.programs, repository.store.address, key, step]
    with subprocess.Popen(list(map(str, argv)), stdout=subprocess.PIPE, text=True) as process:
        try:
            if step.isupper():
                wait_until(lambda: busy_with(live, step))
            else:
                assert process.stdout is not None
                assert process.stdout.readline() == "here\n"
            assert leased_sets(repository.store, "platform") == {key}
        finally:
            process.kill()
    assert execute(live, "slow", "SELECT count(*) FROM old") == [(0,)]
    execute(live, "postgres", PAUSE.format("RESET"))

    (one,) = restore_databases(repository, server_of(live), [RestoreChoice("slow", key)], in_place=True)
    assert databases(live) == {"slow", one.previous}
    assert execute(live, "slow", "SELECT count(*) FROM t") == [(60,)]
    assert execute(live, str(one.previous), "SELECT count(*) FROM old") == [(0,)]
    assert list(tmp_path.iterdir()) == []
    assert leased_sets(repository.store, "platform") == frozenset()
    sessions = f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{APPLICATION}'"
    wait_until(lambda: not execute(live, "postgres", sessions))
    wait_until(lambda: not [pid for pid in running_pids() if is_of_a_restore(pid)])


def is_of_a_restore(pid: int) -> bool:
    """The programs that a killed engine left; a session's title is no command line."""
    words = arguments(pid)
    return any(WORKING_PREFIX in word and word.startswith("--dbname") for word in words)
