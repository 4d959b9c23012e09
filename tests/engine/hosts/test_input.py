"""What a program is given arrives as it is, and has an end only when we say so: on every kind of host."""

from __future__ import annotations

import hashlib
import os
import time

import pytest

from engine.errors import OperationFailed
from engine.hosts.placing import pieces
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import pump
from tests.engine.hosts.host_folder import HostFolder, word
from tests.engine.hosts.parts import lines_about
from tests.engine.hosts.programs import keeping, stdin_of, streaming

BIG = os.urandom(1 << 20) * 40  # more than all buffers on the way hold


@pytest.mark.parametrize("size", [0, 1, 4095, 65536, 65537, (1 << 17) + 1, (1 << 20) - 1, 1 << 20, (5 << 20) + 3])
def test_a_run_is_given_all_bytes_and_no_others(host_folder: HostFolder, size: int) -> None:
    data = os.urandom(size)
    done = host_folder.host.run(("cat",), env={}, timeout=60, stdin=data)
    assert (done.code, done.stdout == data, done.stderr) == (0, True, "")


def test_a_stream_is_given_all_bytes_and_no_others(host_folder: HostFolder) -> None:
    data = bytes(range(256)) + os.urandom(7 << 20) + b"\x10\x11\n\x04"
    with streaming(host_folder, "sha256sum") as program:
        for start in range(0, len(data), 999_983):
            stdin_of(program).write(data[start : start + 999_983])
        stdin_of(program).close()
        assert program.stdout is not None
        reported = program.stdout.read(100).decode().split()[0]
        assert (reported, program.wait(30)) == (hashlib.sha256(data).hexdigest(), 0)


def test_the_input_ends_when_it_is_closed_and_not_before(host_folder: HostFolder) -> None:
    with streaming(host_folder, "sh", "-c", "cat; echo end; exit 5") as program:
        assert program.stdout is not None
        stdin_of(program).write(b"x\n")
        assert program.stdout.read(2) == b"x\n"
        time.sleep(1.2)
        assert program.poll() is None
        stdin_of(program).close()
        assert (program.stdout.read(10), program.wait(20)) == (b"end\n", 5)


def test_its_environment_is_its_own(host_folder: HostFolder) -> None:
    hostile = "a b'c\"d $HOME `id` \\ ! *"
    done = host_folder.host.run(
        ("sh", "-c", 'printf "%s|%s" "$1" "$GIVEN"; cat', "x", hostile), env={"GIVEN": hostile}, timeout=30, stdin=b"!"
    )
    assert done.stdout.decode() == f"{hostile}|{hostile}!"
    with streaming(host_folder, "sh", "-c", 'printf "%s" "$GIVEN"', GIVEN=hostile) as program:
        assert program.stdout is not None
        assert program.stdout.read(100).decode() == hostile


@pytest.mark.parametrize("program", ["exit 3", "head -c 10 >/dev/null; exit 3", "exec <&-; sleep 1; exit 3"])
def test_one_that_does_not_want_all_tells_its_exit_code(host_folder: HostFolder, program: str) -> None:
    with streaming(host_folder, "sh", "-c", program) as running:
        with pytest.raises(BrokenPipeError):
            for _ in range(20):
                stdin_of(running).write(BIG)
        stdin_of(running).close()
        assert running.wait(20) == 3
    assert host_folder.host.run(("sh", "-c", program), env={}, timeout=60, stdin=BIG).code == 3


def test_a_program_that_is_not_there(host_folder: HostFolder) -> None:
    if host_folder.settings.where == "local":
        with pytest.raises(OperationFailed, match=r"^no-such-program cannot be started: No such file or directory; "):
            host_folder.host.stream(("no-such-program",), env={}, stdin=True)
    else:
        assert host_folder.host.run(("no-such-program",), env={}, timeout=30, stdin=b"x").code == 127


def test_a_pipeline_goes_into_a_host(host_folder: HostFolder) -> None:
    with Pipeline() as pipeline:
        running = pipeline.add(keeping(host_folder, word()), name="cat")
        pipeline.run(lambda: pump(pieces(BIG), [running.stdin]), "pump")
        pipeline.join()
    assert host_folder.names() == ["whole"]
    assert int(host_folder.sh('stat -c %s "$1/whole"', host_folder.folder)) == len(BIG)


def test_a_secret_that_is_given_is_in_no_command_line(host_folder: HostFolder) -> None:
    canary = word()
    with streaming(host_folder, "cat", GIVEN=canary) as program:
        assert program.stdout is not None
        stdin_of(program).write(canary.encode())
        assert program.stdout.read(100) == canary.encode()
        assert lines_about(canary) == []
