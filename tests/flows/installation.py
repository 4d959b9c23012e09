"""A whole installation as an operator has it: a Prefect server, workers and runs, each a process of its own.

Its settings are those of `make demo`, so what is shown here holds there.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_API_URL, temporary_settings

from demo import prefect_server
from demo.layout import Layout
from demo.state import changing
from deployments.apply import apply
from engine.config.settings import Settings
from engine.hosts.processes import ProcessIdentity, arguments, running_pids
from engine.sources.postgres.scratch.socket_and_port import free_port
from tests.conftest import WORKER
from tests.quick import starting

PATIENCE_SECONDS = 300.0
WELL_BEGUN = 500_000
"""Bytes that only the pg_dump of a large database has written, and not the one that is asked for its version."""

_Found = TypeVar("_Found")


def wait_for(what: Callable[[], _Found | None], seconds: float = PATIENCE_SECONDS, pause: float = 0.02) -> _Found:
    """What `what` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "nothing came in time"
        time.sleep(pause)
    return found


@dataclass
class Installation:
    """One folder, one port; `processes` are what it started, by name."""

    layout: Layout
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def api(self) -> str:
        return self.environment["PREFECT_API_URL"]

    def start(self, name: str, *arguments: str) -> None:
        log = (self.layout.logs / f"{name}.log").open("ab")
        with log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "demo.serve" if name == "server" else "prefect", *arguments],
                env=self.environment,
                cwd=self.layout.prefect,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_server(self) -> None:
        port = self.api.split(":")[2].split("/")[0]
        self.start("server", "server", "start", "--host", "127.0.0.1", "--port", port)
        wait_for(self._answers)

    def start_worker(self, pool: str) -> None:
        self.start(pool, "worker", "start", "--type", "process", "--pool", pool, "--name", f"test-{pool}")

    def kill(self, name: str) -> None:
        """kill -9 of the server or of a worker, and of nothing else."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def end(self) -> None:
        """End all that it started and all that those started: whatever has its folder in its environment."""
        mark = f"PREFECT_HOME={self.layout.prefect}".encode()
        while found := list(_with(mark)):
            for one in found:
                one.send(signal.SIGKILL)
        for process in self.processes.values():
            process.wait()

    def run(self, deployment: str, **parameters: Any) -> UUID:
        """Start a run of a deployment, as the UI does."""
        with self.client() as client:
            found = client.read_deployment_by_name(f"{deployment}/{deployment}")
            return client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def ended(self, run: UUID, seconds: float = PATIENCE_SECONDS) -> FlowRun:
        """The run once it is in a final state."""

        def final() -> FlowRun | None:
            with self.client() as client:
                found = client.read_flow_run(run)
            return found if found.state and found.state.is_final() else None

        return wait_for(final, seconds, pause=0.3)  # each question costs Prefect more than it costs us

    def completed(self, run: UUID) -> FlowRun:
        found = self.ended(run)
        assert found.state is not None
        assert found.state.type is StateType.COMPLETED, f"{found.state.message}\n{self.logs(run)}"
        return found

    def logs(self, run: UUID) -> str:
        """What the run's log says in the UI."""
        lines: list[str] = []
        with self.client() as client:
            while True:
                page = client.read_logs(
                    LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])), limit=200, offset=len(lines)
                )
                lines += [log.message for log in page]
                if len(page) < 200:
                    return "\n".join(lines)

    def process(self, run: UUID) -> ProcessIdentity:
        """The process that executes the run, once it has begun."""

        def found() -> ProcessIdentity | None:
            return next((one for one in self._marked(run) if _is_flow(one.pid)), None)

        return wait_for(found)

    def child(self, run: UUID, program: str, wrote: int = 0) -> ProcessIdentity:
        """A program (or a module of ours) that the run started, once it has written so many bytes."""

        def found() -> ProcessIdentity | None:
            for one in self._marked(run):
                if program in (_name(one.pid), *arguments(one.pid)) and _written(one.pid) >= wrote:
                    return one
            return None

        return wait_for(found)

    def left(self, run: UUID) -> list[str]:
        """What still runs of what the run started."""
        return [_name(one.pid) for one in self._marked(run)]

    @contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        # Not for the whole session: other tests of this process have a server of their own.
        with temporary_settings({PREFECT_API_URL: self.api}), get_client(sync_client=True) as client:
            yield client

    def _marked(self, run: UUID) -> Iterator[ProcessIdentity]:
        return _with(f"PREFECT__FLOW_RUN_ID={run}".encode())

    def _answers(self) -> bool:
        assert self.processes["server"].poll() is None, (self.layout.logs / "server.log").read_text()[-2000:]
        try:
            return httpx.get(f"{self.api}/health", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False


def _with(mark: bytes) -> Iterator[ProcessIdentity]:
    """Processes whose environment has this line."""
    for pid in running_pids():
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in environ and (identity := ProcessIdentity.of(pid)):
            yield identity


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _is_flow(pid: int) -> bool:
    try:
        return b"prefect.engine" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _written(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return -1
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


@contextmanager
def installed(folder: Path, settings: Settings, **more: str) -> Iterator[Installation]:
    """A running Prefect server with all that `deployments.apply` makes of `settings`; no worker yet.

    `more` are settings of Prefect beside those of the demo.
    """
    starting("Prefect server")
    layout = Layout(folder)
    layout.make()
    with changing(layout) as state:
        state.prefect_port = free_port(23_000 + WORKER * 100)
    environment = prefect_server.environment(layout) | {"PREFECT_WORKER_QUERY_SECONDS": "1"} | more
    installation = Installation(layout, environment)
    try:
        installation.start_server()
        with temporary_settings({PREFECT_API_URL: installation.api}):
            apply(settings, report=lambda line: None)
        yield installation
    finally:
        installation.end()
