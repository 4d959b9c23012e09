"""Where the tools run is checked at the edge: one sentence, no guessing."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from pydantic import ValidationError

from engine.hosts.container_files import addresses, inside
from engine.hosts.settings import HostSettings
from engine.hosts.where import InContainer, OnThisMachine, OverSsh, parse_where


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("local", OnThisMachine()),
        ("container:kecp-postgres", InContainer("kecp-postgres")),
        ("container:postgres@db_1", InContainer("db_1", "postgres")),
        ("ssh:deploy@db.internal", OverSsh("deploy", "db.internal", 22)),
        ("ssh:deploy@10.0.0.7:2222", OverSsh("deploy", "10.0.0.7", 2222)),
        ("ssh:deploy@[fd00::7]:2222", OverSsh("deploy", "fd00::7", 2222)),
    ],
)
def test_places(text: str, where: object) -> None:
    assert parse_where(text) == where


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OnThisMachine",
        "container:",
        "container:-v",
        "container:a/b",
        "container:a b",
        "ssh:db1",
        "ssh:-oProxyCommand=id@db1",
        "ssh:me@-oProxyCommand=id",
        "ssh:me@db1:0",
        "ssh:me@db1:65536",
        "ssh:me@db1;id",
        "ssh:me@db1\n",
        "docker:db",
    ],
)
def test_anything_else_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HostSettings(where=text)
    (error,) = caught.value.errors()
    assert error["msg"] == (
        "Value error, say local, container:NAME, container:USER@NAME or ssh:USER@HOST or ssh:USER@HOST:PORT"
    )


def test_links_lead_where_they_lead_in_the_container(tmp_path: Path) -> None:
    (tmp_path / "run/postgresql").mkdir(parents=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "var/up").symlink_to("../../../run")
    (tmp_path / "loop").symlink_to("/loop")
    wanted = tmp_path / "run/postgresql"
    assert inside(tmp_path, PurePosixPath("/var/run/postgresql")) == wanted
    assert inside(tmp_path, PurePosixPath("/var/up/postgresql")) == wanted
    with pytest.raises(OSError, match="too many links"):
        inside(tmp_path, PurePosixPath("/loop/x"))


def test_addresses_of_a_container() -> None:
    attributes = {
        "NetworkSettings": {
            "IPAddress": "172.17.0.2",
            "Networks": {"kecp": {"IPAddress": "172.20.0.5"}, "none": {"IPAddress": ""}},
            "Ports": {"5432/tcp": [{"HostIp": "0.0.0.0", "HostPort": "15432"}], "8080/tcp": None},  # noqa: S104
        }
    }
    assert list(addresses(attributes, 5432)) == [
        ("172.17.0.2", 5432),
        ("172.20.0.5", 5432),
        ("127.0.0.1", 15432),
    ]
