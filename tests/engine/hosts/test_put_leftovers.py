"""What a writer that broke off or was killed leaves is gone soon, and a living one's is left alone."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.hosts.identity import this_process
from engine.hosts.placing import PREFIX, sweep
from tests.engine.hosts.away import eventually
from tests.engine.hosts.conftest import CONTAINERS
from tests.engine.hosts.host_folder import HostFolder

DATA = os.urandom((3 << 20) + 5)


def bytes_of(host_folder: HostFolder, name: str) -> bytes:
    return host_folder.host.run(("cat", f"{host_folder.folder}/{name}"), env={}, timeout=30).stdout


def test_data_that_breaks_off_leaves_what_was_there(host_folder: HostFolder) -> None:
    host_folder.host.put(f"{host_folder.folder}/file", b"old", mode=0o600)

    def broken() -> Iterator[bytes]:
        yield DATA
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        host_folder.host.put(f"{host_folder.folder}/file", broken(), mode=0o600)
    eventually(lambda: host_folder.names() == ["file"], "something is left")
    assert bytes_of(host_folder, "file") == b"old"


PUTTING = """
import time
def pieces():
    yield bytes(1 << 20)
    time.sleep(1000)
host.put(sys.argv[2], pieces(), mode=0o600)
"""


def test_a_killed_one_leaves_nothing_for_long(host_folder: HostFolder) -> None:
    with host_folder.process(PUTTING, f"{host_folder.folder}/file") as process:
        eventually(lambda: len(host_folder.names()) == 1, "it did not start")
        [written] = host_folder.names()
        assert written.startswith(PREFIX)
        host_folder.host.put(f"{host_folder.folder}/other", b"x", mode=0o600)
        assert host_folder.names() == sorted([written, "other"])  # the living one's is left alone
        process.send_signal(signal.SIGKILL)
        process.wait()
    time.sleep(0.5)
    host_folder.host.put(f"{host_folder.folder}/other", b"y", mode=0o600)
    eventually(lambda: host_folder.names() == ["other"], "it is left")


def test_what_its_writer_could_not_take_back_the_next_one_does(host_folder: HostFolder) -> None:
    """kill -9 of the writing process itself; and a writer on another host, after a day."""
    host_folder.host.put(f"{host_folder.folder}/first", b"x", mode=0o600)
    ended = host_folder.sh("echo $$").strip()
    dead = f"{PREFIX}{far_token(host_folder).replace('-PID-', f'-{ended}-')}-{'0' * 16}"
    young, old, others = (
        f"{PREFIX}{'0' * 8}-1-unknown-{'1' * 16}",
        f"{PREFIX}{'0' * 8}-1-unknown-{'2' * 16}",
        f"{PREFIX}notes-of-somebody",
    )
    host_folder.sh(
        'for name in "$2" "$3" "$4" "$5"; do echo >"$1/$name"; done; touch -d "2020-01-01 00:00:00" "$1/$4" "$1/$5"',
        host_folder.folder,
        dead,
        young,
        old,
        others,
    )
    host_folder.host.put(f"{host_folder.folder}/first", b"y", mode=0o600)
    assert host_folder.names() == sorted(["first", young, others])


def far_token(host_folder: HostFolder) -> str:
    """How a process there is called, with another pid and a start that no process has."""
    host = this_process().partition("-")[0]
    if "container" in host_folder.settings.where:
        script = 'printf "%s\\0%s" "$(uname -n)" "$(readlink /proc/self/ns/pid)" | sha256sum'
        host = host_folder.sh(script)[:8]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    return f"{host}-PID-{boot}.1"


@pytest.mark.parametrize("host_folder", ["ssh", *CONTAINERS], indirect=True)
def test_this_machine_and_ssh_to_it_name_their_writers_alike(host_folder: HostFolder) -> None:
    seen: list[str] = []

    def look() -> Iterator[bytes]:
        yield b"x"
        eventually(lambda: len(host_folder.names()) == 1, "it is not there")
        seen.extend(host_folder.names())

    host_folder.host.put(f"{host_folder.folder}/file", look(), mode=0o600)
    [name] = seen
    host, pid, start, _ = name.removeprefix(PREFIX).split("-")
    assert host == far_token(host_folder).partition("-")[0]
    assert pid.isdigit() and start.startswith(this_process().split("-")[2].partition(".")[0])


def test_a_sweep_leaves_a_living_writers(tmp_path: Path) -> None:
    own = tmp_path / f"{PREFIX}{this_process()}-{'0' * 16}"
    own.touch()
    assert sweep(tmp_path) == 0
    assert stat.S_ISREG(own.stat().st_mode)
