"""One Keycloak on PostgreSQL for all tests of this folder, and one store with its realms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.releases.small_platform import require_docker
from tests.engine.sources.keycloak.pair import Pair, keycloak_pair
from tests.engine.sources.keycloak.site import Site


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    require_docker()
    with keycloak_pair() as made:
        yield made


@pytest.fixture(scope="session")
def site(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(tmp_path_factory.mktemp("realms"), pair)
    made.write()
    return made
