"""One Keycloak on PostgreSQL for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.releases.place import require_docker
from tests.engine.sources.keycloak.pair import Pair, keycloak_pair


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    require_docker()
    with keycloak_pair() as made:
        yield made
