"""A second process that looks into folders, while this one makes sense of what was seen.

A long walk is spent in the system, folder by folder, and what follows from it in Python: two cores share
that well. The aide only makes a walk faster. Whatever it cannot answer the walk looks at itself, and it
ends when its stdin does, so also with a walk that was killed.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from engine.stores import folder_look
from engine.stores.folder_look import Look, look

_MANY = 2000  # looks after which starting a process has paid
_LARGE = 512  # folders beside each other that are worth sharing
_BLOCK = 256
_OWN = 64  # of a block: looked at here, while the aide looks at the rest
_PATIENCE_SECONDS = 60.0


class Looker:
    """Looks into folders below `root`: alone, or with an aide when there are many."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0
        self._aide: Aide | None = None
        self._sharing = False

    def looks(self, prefixes: Sequence[str], mark: str | None) -> Iterator[Look]:
        """What is in each of these folders, in their order: paths below the root that end in `/`.

        A folder that is gone by now is empty. `mark`: see `folder_look.look`. Raises OSError.
        """
        self._count += len(prefixes)
        if not self._is_shared(len(prefixes)):
            for prefix in prefixes:
                yield self._look(prefix, mark)
            return
        self._sharing = True
        self._aide = self._aide or Aide(self._root)
        yield from self._shared(self._aide, prefixes, mark)
        self._sharing = False

    def _is_shared(self, folders: int) -> bool:
        """What is in the folders of a level that is shared is looked at alone: the aide answers one at a time."""
        many = folders >= _LARGE and self._count >= _MANY
        return many and not self._sharing and len(os.sched_getaffinity(0)) > 1

    def _shared(self, aide: Aide, prefixes: Sequence[str], mark: str | None) -> Iterator[Look]:
        blocks = [prefixes[start : start + _BLOCK] for start in range(0, len(prefixes), _BLOCK)]
        aide.ask(blocks[0][_OWN:], mark)
        for block, following in zip(blocks, [*blocks[1:], ()], strict=True):
            for prefix in block[:_OWN]:
                yield self._look(prefix, mark)
            answers = aide.answers()
            aide.ask(following[_OWN:], mark)  # not earlier: each would wait for the other to read
            for prefix, answer in zip(block[_OWN:], answers, strict=True):
                yield self._look(prefix, mark) if isinstance(answer, bool) else answer

    def _look(self, prefix: str, mark: str | None) -> Look:
        try:
            return look(f"{self._root}/{prefix}", mark)
        except FileNotFoundError:
            return [], []

    def close(self) -> None:
        """Let the aide go."""
        if self._aide:
            self._aide.close()


@contextmanager
def looker(root: Path) -> Iterator[Looker]:
    """A Looker for the length of a `with` block."""
    found = Looker(root)
    try:
        yield found
    finally:
        found.close()


class Aide:
    """The process: of this machine, as the folder is. It raises nothing: what it does not answer is False."""

    def __init__(self, root: Path) -> None:
        self._pending = 0
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            # In the root, so that all it is told are the plain names of keys, in whatever encoding.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", folder_look.__file__],
                cwd=root,
                env={key: os.environ[key] for key in ("LD_LIBRARY_PATH",) if key in os.environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def ask(self, prefixes: Sequence[str], mark: str | None) -> None:
        """Have it look into these folders; `answers` has to be called before the next question."""
        self._pending = len(prefixes)
        if self._process and self._process.stdin and prefixes:
            try:
                self._process.stdin.write(json.dumps([prefixes, mark]).encode() + b"\n")
                self._process.stdin.flush()
            except OSError:
                self.close()

    def answers(self) -> Sequence[Look | bool]:
        """What it saw in each folder it was asked for."""
        if self._process and self._process.stdout and self._pending:
            with suppress(OSError, ValueError):
                if _comes(self._process.stdout):
                    found: list[Look | bool] = json.loads(self._process.stdout.readline())
                    if len(found) == self._pending:
                        return found
            self.close()
        return [False] * self._pending

    def close(self) -> None:
        """End it; from now on it answers nothing."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.communicate()


def _comes(answer: IO[bytes]) -> bool:
    """Whether an answer (or the aide's end) comes in time: it may have been stopped."""
    waiting = select.poll()
    waiting.register(answer, select.POLLIN)
    return bool(waiting.poll(_PATIENCE_SECONDS * 1000))
