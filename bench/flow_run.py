"""What Prefect adds to a backup run: the flow run's own duration less that of the same engine call."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from bench.config import SERVER
from bench.figures import Figure
from bench.testbed import Testbed
from bench.timing import MeasureError, interleaved

_SETTINGS = {  # as installed (the demo has the same), but for a server of the bench's own
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
_RUN = f"from flows.nightly_backup import nightly_backup; nightly_backup({SERVER!r})"
_COMMANDS = (
    ".venv/bin/python -m bench --only flow",
    f"# in it: python -c {_RUN!r} against a Prefect server of its own (end - start of the run, as the UI shows it)",
    '# less: platformctl --json backup ("seconds")',
)


def measure(testbed: Testbed, laps: int) -> list[Figure]:
    """Figure 6, on the small data set: what Prefect adds does not grow with the data."""
    with _prefect(testbed) as environment:
        _flow_run(environment)  # registers what a first run registers
        found = interleaved({"engine": lambda: _engine(testbed), "flow run": lambda: _flow_run(environment)}, laps)
    added = found.median("flow run") - found.median("engine")
    return [Figure("flow run less the same engine call", added, "s", "<=", 5.0, 3.0, _COMMANDS)]


@contextmanager
def _prefect(testbed: Testbed) -> Iterator[dict[str, str]]:
    """A Prefect server with the blocks of the bench's configuration; the environment of its clients."""
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ANALYTICS_ENABLED, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    from deployments.config_blocks import config_blocks
    from engine.sources.registry import load_settings

    quiet = {PREFECT_SERVER_ANALYTICS_ENABLED: False}
    with temporary_settings(quiet), prefect_test_harness(server_startup_timeout=120):
        for name, block in config_blocks(load_settings(testbed.config)):
            block.save(name, overwrite=True)
        yield testbed.environment | _SETTINGS | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}


def _flow_run(environment: dict[str, str]) -> float:
    """Run the flow in a process of its own, as a worker does; seconds from its start to its end."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    done = subprocess.run([sys.executable, "-c", _RUN], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MeasureError(f"the flow run failed: {done.stderr.strip().splitlines()[-1:]}")
    with get_client(sync_client=True) as client:
        newest = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]
    took: timedelta = newest.total_run_time
    return took.total_seconds()


def _engine(testbed: Testbed) -> float:
    argv = ["platformctl", "--json", "backup"]
    done = subprocess.run(argv, env=testbed.environment, capture_output=True, check=False)
    if done.returncode:
        raise MeasureError(f"platformctl backup ended with {done.returncode}")
    return float(json.loads(done.stdout)["result"]["seconds"])
