"""One small platform for the tests of this folder, deployed once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.sources.postgres.scratch.socket_and_port import free_port
from tests.conftest import WORKER
from tests.engine.releases.place import Place, build_images, require_docker, small_platform


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    require_docker()
    build_images()
    folder = tmp_path_factory.mktemp("small")
    folder.chmod(0o755)  # nginx in its container reads what is in it
    for parent in folder.parents:
        if parent.owner() == folder.owner() and parent != parent.parent and str(parent).startswith("/tmp/pytest"):
            parent.chmod(0o755)
    with small_platform(folder, free_port(28_400 + WORKER * 20)) as made:
        made.change()
        yield made
