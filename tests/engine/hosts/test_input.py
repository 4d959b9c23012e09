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
from tests.engine.hosts.parts import lines_about
from tests.engine.hosts.places import Place, word
from tests.engine.hosts.programs import keeping, stdin_of, streaming

BIG = os.urandom(1 << 20) * 40  # more than all buffers on the way hold


@pytest.mark.parametrize("size", [0, 1, 4095, 65536, 65537, (1 << 17) + 1, (1 << 20) - 1, 1 << 20, (5 << 20) + 3])
def test_a_run_is_given_all_bytes_and_no_others(place: Place, size: int) -> None:
    data = os.urandom(size)
    done = place.host.run(("cat",), env={}, timeout=60, stdin=data)
    assert (done.code, done.stdout == data, done.stderr) == (0, True, "")


def test_a_stream_is_given_all_bytes_and_no_others(place: Place) -> None:
    data = bytes(range(256)) + os.urandom(7 << 20) + b"\x10\x11\n\x04"
    with streaming(place, "sha256sum") as program:
        for start in range(0, len(data), 999_983):
            stdin_of(program).write(data[start : start + 999_983])
        stdin_of(program).close()
        assert program.stdout is not None
        reported = program.stdout.read(100).decode().split()[0]
        assert (reported, program.wait(30)) == (hashlib.sha256(data).hexdigest(), 0)


def test_the_input_ends_when_it_is_closed_and_not_before(place: Place) -> None:
    with streaming(place, "sh", "-c", "cat; echo end; exit 5") as program:
        assert program.stdout is not None
        stdin_of(program).write(b"x\n")
        assert program.stdout.read(2) == b"x\n"
        time.sleep(1.2)
        assert program.poll() is None
        stdin_of(program).close()
        assert (program.stdout.read(10), program.wait(20)) == (b"end\n", 5)


def test_its_environment_is_its_own(place: Place) -> None:
    hostile = "a b'c\"d $HOME `id` \\ ! *"
    done = place.host.run(
        ("sh", "-c", 'printf "%s|%s" "$1" "$GIVEN"; cat', "x", hostile), env={"GIVEN": hostile}, timeout=30, stdin=b"!"
    )
    assert done.stdout.decode() == f"{hostile}|{hostile}!"
    with streaming(place, "sh", "-c", 'printf "%s" "$GIVEN"', GIVEN=hostile) as program:
        assert program.stdout is not None
        assert program.stdout.read(100).decode() == hostile


@pytest.mark.parametrize("program", ["exit 3", "head -c 10 >/dev/null; exit 3", "exec <&-; sleep 1; exit 3"])
def test_one_that_does_not_want_all_tells_its_exit_code(place: Place, program: str) -> None:
    with streaming(place, "sh", "-c", program) as running:
        with pytest.raises(BrokenPipeError):
            for _ in range(20):
                stdin_of(running).write(BIG)
        stdin_of(running).close()
        assert running.wait(20) == 3
    assert place.host.run(("sh", "-c", program), env={}, timeout=60, stdin=BIG).code == 3


def test_a_program_that_is_not_there(place: Place) -> None:
    if place.settings.where == "local":
        with pytest.raises(OperationFailed, match=r"^no-such-program cannot be started: No such file or directory; "):
            place.host.stream(("no-such-program",), env={}, stdin=True)
    else:
        assert place.host.run(("no-such-program",), env={}, timeout=30, stdin=b"x").code == 127


def test_a_pipeline_goes_into_a_host(place: Place) -> None:
    with Pipeline() as pipeline:
        running = pipeline.add(keeping(place, word()), name="cat")
        pipeline.run(lambda: pump(pieces(BIG), [running.stdin]), "pump")
        pipeline.join()
    assert place.names() == ["whole"]
    assert int(place.sh('stat -c %s "$1/whole"', place.folder)) == len(BIG)


def test_a_secret_that_is_given_is_in_no_command_line(place: Place) -> None:
    canary = word()
    with streaming(place, "cat", GIVEN=canary) as program:
        assert program.stdout is not None
        stdin_of(program).write(canary.encode())
        assert program.stdout.read(100) == canary.encode()
        assert lines_about(canary) == []
