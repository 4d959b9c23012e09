"""Streams between processes: all of it arrives, and the error that is told is the cause."""

from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import threading
import time
import zlib
from pathlib import Path
from typing import IO

import pytest
from pyrage import encrypt, x25519

from engine.errors import OperationFailed, TransientFailure
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Meter, pass_on
from engine.streams.unpack import DamagedStreamError, unpack_argv, unpack_bytes

DATA = os.urandom(3 << 20)


def pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)


def passed_on(source: IO[bytes]) -> tuple[bytes, int]:
    """What comes out of a pipe that `source` is passed on to, and what the meter says."""
    reading, writing = pipe()
    meter, found = Meter(), list[bytes]()
    with reading:
        thread = threading.Thread(target=lambda: found.extend(iter(lambda: reading.read(1 << 20), b"")))
        thread.start()
        with writing:
            pass_on(source, writing, meter)
        thread.join()
    return b"".join(found), meter.bytes


def test_a_process_s_output_is_passed_on_whole(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        assert passed_on(process.stdout) == (DATA, len(DATA))


def test_what_is_no_pipe_of_this_machine_is_copied() -> None:
    assert passed_on(io.BytesIO(DATA)) == (DATA, len(DATA))


@pytest.mark.parametrize("encrypted", [False, True])
def test_unpacking_takes_little_memory_whatever_comes_out(encrypted: bool) -> None:
    """160 MiB of zeros in two members, packed two hundred to one, come out of one piece."""
    packed, size = b"", 80
    for _ in range(2):
        member = zlib.compressobj(1, wbits=31)
        packed += b"".join(member.compress(bytes(1 << 20)) for _ in range(size)) + member.flush()
    key, (reading, writing) = x25519.Identity.generate(), os.pipe()
    os.write(writing, f"{key}\n".encode())
    os.close(writing)
    argv = unpack_argv(reading if encrypted else None)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[reading]) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(encrypt(packed, [key.to_public()]) if encrypted else packed)
        process.stdin.close()
        come = sum(len(process.stdout.read(1 << 20)) for _ in range(2 * size - 8))
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        while piece := process.stdout.read(1 << 20):
            assert not piece.strip(b"\0")
            come += len(piece)
    os.close(reading)
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert (process.returncode, come) == (0, 2 * size << 20)
    assert int(peak) < 60_000


@pytest.mark.parametrize("spoilt", ["cut", "garbage", "flipped"])
def test_damage_is_found_in_any_member(spoilt: str) -> None:
    whole = gzip.compress(bytes(5 << 20)) + gzip.compress(DATA) + gzip.compress(b"")
    assert unpack_bytes(whole, ()) == bytes(5 << 20) + DATA
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    damaged = {"cut": whole[:-1], "garbage": whole + b"x", "flipped": flipped}[spoilt]
    with pytest.raises(DamagedStreamError):
        unpack_bytes(damaged, ())


def test_a_reader_that_left_before_the_end_is_an_error() -> None:
    source, sink = pipe()
    reading, writing = pipe()
    with source, writing:
        sink.write(b"more")
        sink.close()
        reading.close()
        with pytest.raises(BrokenPipeError):
            pass_on(source, writing, Meter())


def test_the_cause_is_told_though_a_broken_pipe_came_first() -> None:
    def breaks() -> None:
        raise BrokenPipeError

    def names() -> None:
        time.sleep(0.3)
        raise OperationFailed("the cause")

    with pytest.raises(OperationFailed, match="the cause"), Pipeline() as pipeline:
        pipeline.run(breaks, "breaks")
        pipeline.run(names, "tells")
        pipeline.join()


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_who_ended_first_is_told_and_not_who_wrote_to_it(tmp_path: Path, seconds: float) -> None:
    """Much more is to come than pipes hold: the unpacking process loses its reader."""
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(DATA * 4))
    script = f"head -c 100000 >/dev/null; exec 0<&-; sleep {seconds}; echo the cause >&2; exit 3"
    with (
        packed.open("rb") as stored,
        pytest.raises(OperationFailed, match=r"the tool ended with 3: the cause\."),
        Pipeline() as pipeline,
    ):
        unpacked = pipeline.start(unpack_argv(None), name="unpacking", stdin=stored)
        tool = pipeline.start(["sh", "-c", script], name="the tool", stdin=unpacked.stdout)
        tool.failed_as = OperationFailed
        unpacked.stdout.close()
        pipeline.join()


@pytest.mark.parametrize("silent", [True, False])
def test_where_no_byte_is_to_move_none_is_missed(silent: bool) -> None:
    """A proof may take longer than the dump beside it: only what moves bytes can stall."""
    with Pipeline() as pipeline:
        pipeline.run(lambda: time.sleep(0.8), "proof", silent=silent)
        pipeline.run(lambda: None, "read")
        if silent:
            pipeline.join(Meter(), 0.3)
        else:
            with pytest.raises(TransientFailure, match="No byte has moved"):
                pipeline.join(Meter(), 0.3)


def test_the_program_that_can_say_why_is_waited_for() -> None:
    """What reads a damaged file's start fails first, and knows less than what unpacks it."""
    why = OperationFailed("the file is damaged")
    with Pipeline() as pipeline:
        unpacking = pipeline.start(["sh", "-c", "sleep 0.3; exit 65"], name="unpacking")
        unpacking.explains = {65: why}
        pipeline.start(["sh", "-c", "echo input is too short >&2; exit 1"], name="reading")
        with pytest.raises(OperationFailed, match="the file is damaged"):
            pipeline.join()


def test_who_is_at_work_without_bytes_is_waited_for() -> None:
    """It is asked once in each period, not at each tick; when it says no, nothing is waited for any more."""
    answers = iter([True, True, False])
    requested = list[float]()

    def alive() -> bool:
        requested.append(time.monotonic())
        return next(answers)

    began = time.monotonic()
    with Pipeline() as pipeline:
        pipeline.start(["sleep", "30"], name="the tool")
        with pytest.raises(TransientFailure, match=r"No byte has moved for 0 s; ended the tool\."):
            pipeline.join(Meter(), 0.3, alive=alive)
    assert len(requested) == 3
    assert requested[-1] - began >= 0.9
