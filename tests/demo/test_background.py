"""Background processes of the demo: always recorded, ended exactly, whatever was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo import background
from demo.layout import Layout
from demo.state import alone, changing, read, record_process
from demo.stop import stop
from engine.errors import LockedByAnother, OperationFailed
from engine.hosts.processes import ProcessIdentity, running_pids

SHELL = "/bin/sh"
FAMILY = "sleep 300 & sleep 301 & wait"


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    found = Layout(tmp_path / "demo")
    found.make()
    yield found
    for name in list(read(found).processes):
        background.end(found, name)


def started(layout: Layout, name: str = "family") -> ProcessIdentity:
    return background.start(layout, name, [SHELL, "-c", FAMILY], os.environ)


def until(condition: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_is_recorded_before_it_is_the_program(layout: Layout) -> None:
    identity = started(layout)
    until(lambda: len(list(background.descendants(identity.pid))) == 2)
    document = json.loads(layout.state.read_text(encoding="utf8"))
    assert document["processes"]["family"] == {"pid": identity.pid, "started": identity.started}
    assert layout.state.stat().st_mode & 0o777 == 0o600


def test_ending_it_ends_what_it_started(layout: Layout) -> None:
    identity = started(layout)
    until(lambda: len(list(background.descendants(identity.pid))) == 2)
    family = list(background.descendants(identity.pid))
    assert stop(layout) == ["family"]
    assert not identity.alive()
    assert not any(member.alive() for member in family)
    assert read(layout).processes == {}
    assert stop(layout) == []


def test_a_pid_that_was_used_again_is_left_alone(layout: Layout) -> None:
    bystander = subprocess.Popen(["/bin/sleep", "300"])
    try:
        identity = ProcessIdentity.of(bystander.pid)
        assert identity is not None
        record_process(layout, "old", ProcessIdentity(identity.pid, identity.started - 1))
        assert stop(layout) == []
        assert identity.alive()
        assert read(layout).processes == {}
    finally:
        bystander.kill()
        bystander.wait()


def test_killing_the_starter_at_any_moment_leaves_nothing_unknown(layout: Layout) -> None:
    script = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from demo import background
        from demo.layout import Layout
        print("ready", flush=True)
        for number in range(100):
            background.start(Layout(Path(sys.argv[1])), f"p{number}", ["/bin/sleep", "304"], os.environ)
    """)
    for delay in (0.0, 0.05, 0.1, 0.2):
        starter = subprocess.Popen([sys.executable, "-c", script, str(layout.root)], stdout=subprocess.PIPE)
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"ready\n"
        time.sleep(delay)
        starter.kill()
        starter.communicate()
        time.sleep(0.7)  # what it had started by then records itself
        known = {identity.pid for identity in read(layout).processes.values()}
        mine = {pid for pid in running_pids() if str(layout.root) in _log_of(pid)}
        assert mine <= known
        stop(layout)
        assert not any(str(layout.root) in _log_of(pid) for pid in mine)


def _log_of(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/fd/1").readlink())
    except OSError:
        return ""


def test_a_program_that_is_not_there_is_said(layout: Layout) -> None:
    with pytest.raises(OperationFailed, match="nothing did not stay up"):
        background.start(layout, "nothing", ["/no/such/program"], os.environ)


def test_a_damaged_state_is_not_guessed_at(layout: Layout) -> None:
    layout.state.write_text("{", encoding="utf8")
    with pytest.raises(OperationFailed, match="cannot be understood"):
        read(layout)
    layout.state.unlink()


def test_one_command_at_a_time(layout: Layout) -> None:
    with (
        alone(layout, "make demo"),
        pytest.raises(LockedByAnother, match=r"make demo \(process \d+\) is still at work"),
        alone(layout, "make stop"),
    ):
        pass
    with alone(layout, "make stop"):
        pass


def test_state_is_whole_or_the_one_before(layout: Layout) -> None:
    with changing(layout) as state:
        state.prefect_port = 4200
    with pytest.raises(ZeroDivisionError), changing(layout) as state:
        state.prefect_port = 1 // 0
    assert read(layout).prefect_port == 4200
    assert not list(layout.root.glob("*.part"))
