"""`.demo/state.json`: what runs (pid and start time), on which ports, and where the data is."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from demo.layout import Layout, write_private
from engine.errors import LockedByAnother, OperationFailed
from engine.hosts.processes import ProcessIdentity


@dataclass(slots=True)
class State:
    """All that must be known to end or to continue a demo, whatever was killed."""

    postgres_folder: str = ""
    postgres_port: int = 0
    prefect_port: int = 0
    processes: dict[str, ProcessIdentity] = field(default_factory=dict)

    def document(self) -> str:
        return json.dumps({"schema": 1, **asdict(self)}, indent=2) + "\n"


def read(layout: Layout) -> State:
    """What is recorded; nothing when there is no demo.

    Raises:
        OperationFailed: the file is not ours to understand.
    """
    try:
        document: dict[str, Any] = json.loads(layout.state.read_text(encoding="utf8"))
        document.pop("schema")
        processes = {name: ProcessIdentity(**found) for name, found in document.pop("processes").items()}
        return State(processes=processes, **document)
    except FileNotFoundError:
        return State()
    except (ValueError, TypeError, KeyError) as error:
        raise OperationFailed(
            f"{layout.state} cannot be understood ({type(error).__name__}); end what runs from {layout.root} "
            "by hand and remove that folder."
        ) from None


@contextmanager
def changing(layout: Layout) -> Iterator[State]:
    """Read, change, write: whole, and one process at a time."""
    descriptor = os.open(layout.root / "state.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        state = read(layout)
        yield state
        write_private(layout.state, state.document())
    finally:
        os.close(descriptor)


def record_process(layout: Layout, name: str, identity: ProcessIdentity) -> None:
    """Remember one running process under `name`."""
    with changing(layout) as state:
        state.processes[name] = identity


@contextmanager
def alone(layout: Layout, command: str) -> Iterator[None]:
    """One `make demo`, `stop` or `clean` at a time; the lock goes with the process that holds it.

    Raises:
        LockedByAnother: another one is at it.
    """
    descriptor = os.open(layout.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode().strip() or "another command"
            raise LockedByAnother(
                f"{holder} is still at work in {layout.root}; wait for it or end it with Ctrl-C, then run "
                f"{command} again."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{command} (process {os.getpid()})".encode(), 0)
        yield
    finally:
        os.close(descriptor)
