"""The scratch server of a drill as a container of the source's image."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import psycopg
import pytest
from docker.errors import NotFound

from engine.errors import CouldNotVerify
from engine.hosts.identity import this_process
from engine.hosts.owned_containers import sweep_containers
from engine.sources.postgres.scratch.scratch_container import has_image, scratch_container
from tests.engine.hosts.engines import DOCKER, Engine, opened

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("containers")]

KILLED = """
import os, signal, sys
from engine.sources.postgres.scratch.scratch_container import scratch_container
with scratch_container(sys.argv[1], superuser="boss", encoding="UTF8", locale="C.UTF-8", engine=sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)
"""
LABEL = "platform-ops.scratch"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    found = opened("docker", DOCKER)
    yield found
    found.client.close()


def own(engine: Engine, pid: int) -> list[Any]:
    """The scratch containers of a process; tests beside this one have theirs."""
    found = engine.client.containers.list(all=True, filters={"label": LABEL})
    return [each for each in found if each.labels[LABEL].split("-")[1] == str(pid)]


def test_it_is_the_images_server_without_any_network(engine: Engine) -> None:
    with scratch_container(
        engine.image, superuser="boss", encoding="UTF8", locale="C.UTF-8", engine=engine.url
    ) as server:
        with psycopg.connect(server.conninfo()) as connection:
            row = connection.execute(
                "SELECT current_user, current_setting('listen_addresses'), current_setting('fsync'),"
                " current_setting('max_logical_replication_workers')"
            ).fetchone()
        [container] = own(engine, os.getpid())
        assert row == ("boss", "", "off", "0")
        assert list(container.attrs["NetworkSettings"]["Networks"]) == ["none"]
    assert own(engine, os.getpid()) == []
    assert not server.socket.exists()


def test_one_whose_owner_was_killed_is_swept(engine: Engine) -> None:
    killed = subprocess.Popen([sys.executable, "-c", KILLED, engine.image, engine.url])
    assert killed.wait(120) == -9
    assert len(own(engine, killed.pid)) == 1
    assert sweep_containers(engine.client) == 1
    assert own(engine, killed.pid) == []


def test_one_whose_owner_runs_in_another_container_is_left_alone(engine: Engine) -> None:
    host, _, started = this_process().split("-")
    boot, _, ticks = started.partition(".")
    owners = {
        "in another container": f"0123abcd-4194304-{started}",
        "before the restart": f"{host}-4194304-{int(boot, 16) ^ 1:08x}.{ticks}",
        "ended": f"{host}-4194304-{started}",
    }
    with ExitStack() as stack:
        made = {}
        for name, owner in owners.items():
            made[name] = engine.client.containers.create(engine.image, ["true"], labels={LABEL: owner})
            stack.callback(removed, made[name])
        assert sweep_containers(engine.client) == 2
        left = {each.id for each in own(engine, 4194304)}
        assert left == {made["in another container"].id}


def removed(container: Any) -> None:
    with suppress(NotFound):
        container.remove(force=True, v=True)


def test_a_locale_the_image_lacks_is_said(engine: Engine) -> None:
    with (
        pytest.raises(CouldNotVerify, match="xx_YY"),
        scratch_container(engine.image, superuser="boss", encoding="UTF8", locale="xx_YY.UTF-8", engine=engine.url),
    ):
        pass
    assert own(engine, os.getpid()) == []


def test_where_no_engine_or_image_is_there_is_none(engine: Engine) -> None:
    assert has_image(engine.image, engine.url)
    assert not has_image("platform-ops-no-such-image:1", engine.url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker leaves its socket open when nobody answers
        assert not has_image(engine.image, "unix:///nowhere/docker.sock")
        gc.collect()
