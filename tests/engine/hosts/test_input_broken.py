"""An input that breaks off is never taken for the whole, and a program that takes none can be ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.errors import TransientFailure
from engine.hosts.base import Program
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import pump
from tests.engine.hosts.away import eventually
from tests.engine.hosts.conftest import CONTAINERS
from tests.engine.hosts.host_folder import HostFolder, word
from tests.engine.hosts.programs import WHOLE, keeping, let_go, stdin_of, streaming

BIG = os.urandom(1 << 20) * 40  # more than all buffers on the way hold


def has_part(host_folder: HostFolder) -> bool:
    return "part" in host_folder.names()


def ends_without_whole(host_folder: HostFolder, canary: str) -> None:
    eventually(lambda: not shell_runs(host_folder, canary), "it runs on")
    time.sleep(0.3)
    assert "whole" not in host_folder.names()


def test_one_that_takes_nothing_is_waited_for_until_it_is_killed(host_folder: HostFolder) -> None:
    canary = word()
    broke: list[BaseException] = []
    with streaming(host_folder, "sh", "-c", "sleep 1000; exit 1", canary) as program:

        def write() -> None:
            try:
                for _ in range(20):
                    stdin_of(program).write(BIG)
            except BrokenPipeError as error:
                broke.append(error)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        thread.join(3)
        assert thread.is_alive() and program.poll() is None
        program.kill()
        thread.join(20)
        assert not thread.is_alive() and broke
        assert program.wait(20) == -9
    eventually(lambda: not shell_runs(host_folder, canary), "it runs on")


def test_a_run_that_takes_its_input_too_slowly_is_ended(host_folder: HostFolder) -> None:
    with pytest.raises(TransientFailure, match=r"^sleep.* took longer than 2 s and was ended; "):
        host_folder.host.run(("sleep", "1000"), env={}, timeout=2, stdin=BIG)


GIVING = """
program = host.stream(("sh", "-c", sys.argv[2], sys.argv[3], sys.argv[4]), env={}, stdin=True)
while True:
    program.stdin.write(bytes(1 << 16))
"""


@pytest.mark.parametrize("script", [WHOLE, 'touch "$1/part"; exec sleep 1000', 'touch "$1/part"; kill -STOP $$'])
def test_kill_9_of_ours_ends_it_and_is_no_end_of_its_input(host_folder: HostFolder, script: str) -> None:
    canary = word()
    with host_folder.process(GIVING, f'{script} && touch "$1/whole"', canary, host_folder.folder) as process:
        eventually(lambda: has_part(host_folder), "it did not start")
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        eventually(lambda: not shell_runs(host_folder, canary), "it runs on")
    time.sleep(0.3)
    assert "whole" not in host_folder.names()


def shell_runs(host_folder: HostFolder, canary: str) -> bool:
    """Whether the program itself, a shell, is there."""
    lines = host_folder.sh('for file in /proc/[0-9]*/cmdline; do tr "\\0" " " <$file; echo; done 2>/dev/null; true')
    return any(canary in line for line in lines.splitlines())


@pytest.mark.parametrize("way", ["killed", "forgotten", "broken off"])
def test_what_is_killed_forgotten_or_broken_off_is_not_whole(host_folder: HostFolder, way: str) -> None:
    program = keeping(host_folder, canary := word())
    stdin_of(program).write(b"half")
    eventually(lambda: has_part(host_folder), "it did not start")
    if way == "broken off":
        _give_up_in_the_middle(program)
    elif way == "forgotten":
        forgotten: Any = program
        forgotten.stdin.__del__()
        forgotten.wait(20)
    let_go(program)
    ends_without_whole(host_folder, canary)


def _give_up_in_the_middle(program: Program) -> None:
    def broken() -> Iterator[bytes]:
        yield b"more"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Pipeline() as pipeline:
        running = pipeline.add(program, name="cat")
        pipeline.run(lambda: pump(broken(), [running.stdin]), "pump")
        pipeline.join()


@pytest.mark.parametrize("host_folder", ["ssh", *CONTAINERS], indirect=True)
def test_a_channel_that_breaks_under_the_input_is_no_end_of_it(host_folder: HostFolder) -> None:
    program = keeping(host_folder, canary := word())
    stdin: Any = stdin_of(program)
    stdin.write(b"half")
    eventually(lambda: has_part(host_folder), "it did not start")
    stdin._feed.close()
    stdin.close()
    assert program.wait(20) == 255
    assert program.stderr is not None
    assert b"".join(program.stderr) == f"the connection was lost ({host_folder.host})".encode()
    ends_without_whole(host_folder, canary)
