"""The demo's own Prefect: server and workers, apart from any profile or server the user has."""

from __future__ import annotations

import os
import sys
import time

import httpx

from demo import background
from demo.layout import Layout
from demo.progress import Progress
from demo.state import changing, read
from engine.config.file import VARIABLE
from engine.errors import OperationFailed
from engine.sources.postgres.scratch.socket_and_port import free_port

NAME = "prefect-server"
_FIRST_PORT = 4200
_START_SECONDS = 180.0
_PORT_TRIES = 5
_PATIENCE_SECONDS = 30.0  # a killed `make demo` may have left one that is still starting


def environment(layout: Layout) -> dict[str, str]:
    """The environment of everything that talks to the demo's Prefect; nothing of the user's own is in it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    api = f"{address(layout)}/api"
    return kept | {
        "PREFECT_HOME": str(layout.prefect),
        "PREFECT_PROFILES_PATH": str(layout.prefect / "profiles.toml"),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_UI_API_URL": api,
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "DO_NOT_TRACK": "1",
        # Prefect's workers all use one folder in /tmp, which belongs to the first user who started one.
        "TEMP": str(layout.temporary),
        VARIABLE: str(layout.config),
    }


def address(layout: Layout) -> str:
    """Where a browser finds the UI."""
    return f"http://127.0.0.1:{read(layout).prefect_port}"


def reserve(layout: Layout) -> None:
    """Choose the port and record it, before anything listens there."""
    if background.running(layout, NAME) is None:
        with changing(layout) as state:
            state.prefect_port = free_port(state.prefect_port or _FIRST_PORT)


def start(layout: Layout, progress: Progress) -> None:
    """Start the server unless it runs, and wait until it answers."""
    if background.running(layout, NAME) is not None and _answers(layout, _PATIENCE_SECONDS):
        progress.say(f"Prefect runs already on {address(layout)}")
        return
    background.end(layout, NAME)
    with progress.doing("Prefect: starting the server"):
        for _ in range(_PORT_TRIES):
            port = str(read(layout).prefect_port)
            argv = [sys.executable, "-m", "demo.serve", "server", "start", "--host", "127.0.0.1", "--port", port]
            background.start(layout, NAME, argv, environment(layout))
            if _answers(layout, _START_SECONDS):
                break
            background.end(layout, NAME)
            if not _take_next_port(layout):
                last = background.log_tail(layout, NAME)
                raise OperationFailed(f"The Prefect server did not start; its log ends with: {last}")
    progress.say(f"Prefect runs on {address(layout)}")


def _take_next_port(layout: Layout) -> bool:
    """Another program was quicker to take the port: choose the next one; False when it is still free."""
    port = read(layout).prefect_port
    found = free_port(port)
    with changing(layout) as state:
        state.prefect_port = found
    os.environ.update(environment(layout))
    return found != port


def start_workers(layout: Layout, progress: Progress) -> list[str]:
    """Start a worker for each pool that has none running; the pools it was started for."""
    started = []
    for pool in layout.pools:
        name = worker(pool)
        if background.running(layout, name) is None:
            argv = [sys.executable, "-m", "prefect", "worker", "start"]
            argv += ["--type", "process", "--pool", pool, "--name", f"demo-{pool}"]
            background.start(layout, name, argv, environment(layout))
            started.append(pool)
            progress.say(f"Prefect: a worker for the pool {pool} is starting")
    return started


def worker(pool: str) -> str:
    """The name a pool's worker has in state.json and in its log's file name."""
    return f"worker-{pool}"


def trouble(layout: Layout) -> str | None:
    """What has ended that should run, in a sentence; None when all is well."""
    for name in (NAME, *map(worker, layout.pools)):
        if background.running(layout, name) is None:
            return f"{name} has ended; its log ends with: {background.log_tail(layout, name)}"
    return None


def _answers(layout: Layout, seconds: float) -> bool:
    """Whether it answers within so many seconds; False at once when its process is gone.

    It says which folder it keeps its data in: another Prefect on the same port is not taken for it.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and background.running(layout, NAME) is not None:
        try:
            answer = httpx.get(f"{address(layout)}/api/admin/settings", timeout=2.0, trust_env=False)
            if answer.is_success and answer.json().get("home") == str(layout.prefect):
                return True
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(0.2)
    return False
