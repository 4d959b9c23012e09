"""Engines with volumes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.sources.volumes.scene import Engine, engine_at


@pytest.fixture
def engine() -> Iterator[Engine]:
    with engine_at() as engine:
        yield engine
