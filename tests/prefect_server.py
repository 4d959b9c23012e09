"""One Prefect server for all tests of a process that ask for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.quick import starting

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

_PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the API of a running server of these tests' own, with an empty database.

    Its log, once all tests are done, has no transaction that failed because another was at work.
    """
    starting("Prefect server")
    # Imported here: it takes two seconds, which most tests need not pay.
    from prefect import settings
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.testing.utilities import prefect_test_harness

    quiet = {
        settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # a flow call then costs 0.1 s instead of 1.1 s
        settings.PREFECT_LOGGING_TO_API_ENABLED: False,
        settings.PREFECT_SERVER_ANALYTICS_ENABLED: False,
        settings.PREFECT_SERVER_LOG_RETRYABLE_ERRORS: True,  # else a locked database is not in the log
    }
    log = tmp_path_factory.mktemp("prefect") / "server.log"
    with settings.temporary_settings(quiet), pytest.MonkeyPatch.context() as patch:
        # The harness has no setting for what it starts.
        patch.setattr(SubprocessASGIServer, "_run_uvicorn_command", lambda server: _served(server, log))
        with prefect_test_harness(server_startup_timeout=120), settings.temporary_settings(quiet):
            yield str(settings.PREFECT_API_URL.value())
    assert "database is locked" not in log.read_text()


def _served(server: SubprocessASGIServer, log: Path) -> subprocess.Popen[bytes]:
    """As the harness starts it (no UI, few services), by the demo's command, whose transactions take turns."""
    from prefect.settings import get_current_settings

    argv = [sys.executable, "-m", "demo.serve", "server", "start", "--host", "127.0.0.1", "--port", str(server.port)]
    environment = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_SERVER_UI_ENABLED": "0"}
    environment |= get_current_settings().to_environment_variables(exclude_unset=True)
    with log.open("ab") as out:
        return subprocess.Popen(argv, cwd=_PROJECT, env=os.environ | environment, stdout=out, stderr=out)
