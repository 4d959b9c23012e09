"""`make quick` runs the tests that start no server: whoever would start one says so here and is skipped."""

from __future__ import annotations

import os

import pytest

QUICK = bool(os.environ.get("PLATFORM_OPS_QUICK_TESTS"))


def starting(what: str) -> None:
    """Called by whatever starts a server for tests, before it does.

    Raises:
        pytest.skip.Exception: only quick tests are to run.
    """
    if QUICK:
        pytest.skip(f"quick tests start no {what}")
