"""The command as tests call it: as a shell does (`COMMAND`), or in a process that has its modules already (`run`).

Loading them costs 0.4 s of processor a call, and there are some hundred calls. What is said of how the program starts, of
its memory or of its end by a signal uses `COMMAND`.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import engine
from engine.cli import main
from engine.operations import drill

COMMAND = (sys.executable, "-c", "import sys; from engine.cli import main; sys.exit(main())")
"""What the installed `platformctl` does, also where the venv's bin is not on PATH."""

_ROOMS = ("cli", "config", "hosts", "operations", "reports", "repository", "sources.postgres", "stores", "streams")
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        name
        for _, name, _ in walk_packages(engine.__path__, "engine.")
        if name.startswith(tuple(f"engine.{room}" for room in _ROOMS))
    ]
)


@dataclass(frozen=True)
class Answer:
    """What one call of the command said."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout; anything more is an error."""
        loaded = json.loads(self.stdout)
        assert isinstance(loaded, dict)
        return loaded

    @property
    def problem(self) -> str:
        """The last line of stderr, where a problem's sentence is."""
        return self.stderr.splitlines()[-1] if self.stderr else ""


def run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float, open_files: int | None = None
) -> Answer:
    """Call it in a process of its own and wait for its end, for at most `timeout` seconds.

    With `open_files` it may not open more at a time (RLIMIT_NOFILE).

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        output = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (stdout, stderr)]
        process = _FORKS.Process(target=_call, args=(tuple(arguments), cwd, dict(env), output, drill.LOCK, open_files))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        for file in (stdout, stderr):
            file.seek(0)
        assert process.exitcode is not None
        return Answer(process.exitcode, stdout.read().decode(), stderr.read().decode())


def _call(
    arguments: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    output: Sequence[str],
    lock: str,
    open_files: int | None,
) -> None:
    for number, path in enumerate(output, 1):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(cwd)
    sys.argv, drill.LOCK = ["-c", *arguments], lock
    if open_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    try:
        code = main()
    finally:
        atexit._run_exitfuncs()
    sys.exit(code)
