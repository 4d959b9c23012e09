"""One Prefect server for all tests of a process that ask for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """The address of the API of a running server of these tests' own, with an empty database."""
    # Imported here: it takes two seconds, which most tests need not pay.
    from prefect import settings
    from prefect.testing.utilities import prefect_test_harness

    quiet = {
        settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # a flow call then costs 0.1 s instead of 1.1 s
        settings.PREFECT_LOGGING_TO_API_ENABLED: False,
        settings.PREFECT_SERVER_ANALYTICS_ENABLED: False,
    }
    with (
        settings.temporary_settings(quiet),
        prefect_test_harness(server_startup_timeout=120),
        settings.temporary_settings(quiet),
    ):
        yield str(settings.PREFECT_API_URL.value())
