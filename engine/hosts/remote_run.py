"""A program at the far end run to its end, and what a dead run left there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from engine.errors import OperationFailed, TransientFailure
from engine.hosts.base import OUTPUT_LIMIT, Completed, Environment
from engine.hosts.channel import CHUNK, Launcher
from engine.hosts.remote import RemoteProgram, start
from engine.hosts.shell import sweep_argv
from engine.hosts.time_limit import ended_after

_SWEEP_SECONDS = 60.0
_LAST_WORDS_SECONDS = 5.0


def run(host: Launcher, argv: Sequence[str], env: Environment, timeout: float, stdin: bytes | None = None) -> Completed:
    """See `engine.hosts.base.Host.run`.

    Raises:
        TransientFailure: it took longer than `timeout` seconds.
        OperationFailed: it wrote more than can be meant.
    """
    program = start(host, argv, env, stdin=stdin is not None)
    return _finish(program, f"{PurePosixPath(argv[0]).name}{host.note}", timeout, stdin or b"")


def end_leftovers(host: Launcher, marks: Mapping[str, str], sparing: str) -> int:
    """See `engine.hosts.base.Host.end_leftovers`."""
    done = run(host, sweep_argv(marks, sparing), {}, _SWEEP_SECONDS)
    if done.code:
        raise OperationFailed(f"What a dead run left{host.note} cannot be looked for: {done.stderr[-200:]}")
    return len(done.stdout.split())


def _finish(program: RemoteProgram, what: str, timeout: float, stdin: bytes) -> Completed:
    lines: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: lines.extend(program.stderr), daemon=True),
        threading.Thread(target=_feed, args=(program, stdin), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        with ended_after(timeout, program) as ran_out:
            output = _all_of(program, what)
            code = program.wait()
            threads[0].join(_LAST_WORDS_SECONDS)
    finally:
        program.kill()
    if ran_out.is_set():
        raise TransientFailure(f"{what} took longer than {timeout:.0f} s and was ended; look at locks and load.")
    text = b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines)
    return Completed(code, output, text.decode("utf8", "replace"))


def _feed(program: RemoteProgram, data: bytes) -> None:
    if program.stdin is not None:
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended; how it did is what counts
            program.stdin.write(data)
            program.stdin.close()


def _all_of(program: RemoteProgram, what: str) -> bytes:
    output = bytearray()
    while piece := program.stdout.read(CHUNK):
        output += piece
        if len(output) > OUTPUT_LIMIT:
            raise OperationFailed(f"{what} wrote more than {OUTPUT_LIMIT >> 20} MiB; look at what it is.")
    return bytes(output)
