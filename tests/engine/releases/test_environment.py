"""Variables: what is refused, and that compose reads back what was written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from engine.errors import ConfigurationError
from engine.releases import environment
from tests.engine.releases.small_platform import STACK, require_docker
from tests.engine.secrets_manager import aws

__all__ = ["aws"]  # a fixture

GOOD = {"A_PASSWORD": "sixteen-letters-1", "B_TOKEN": "sixteen-letters-2", "HOST": "x"}


def test_good_ones_pass() -> None:
    environment.require_strong(GOOD, ".env.prod")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"A_PASSWORD": "<change me>"}, "A_PASSWORD is still a placeholder"),
        ({"A_PASSWORD": "changeme-changeme-1"}, "A_PASSWORD is still a placeholder"),
        ({"A_PASSWORD": "aaaaaaaaaaaaaaaaaaaa"}, "A_PASSWORD is still a placeholder"),
        ({"A_PASSWORD": "Zk81-b"}, "A_PASSWORD is too short"),
        ({"A_PASSWORD": ""}, "A_PASSWORD is empty"),
        ({"B_TOKEN": "sixteen-letters-1"}, "B_TOKEN and A_PASSWORD are the same secret"),
        ({"HOST": "<your host>"}, "HOST is still a placeholder"),
    ],
)
def test_weak_ones_are_named_and_never_shown(change: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as raised:
        environment.require_strong(GOOD | change, ".env.prod")
    value = next(iter(change.values()))
    assert not value or value not in str(raised.value)


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_the_examples_are_complete_and_refused_as_they_are(name: str) -> None:
    values = environment.read((STACK / f".env.{name}.example").read_bytes(), name)
    with pytest.raises(ConfigurationError, match="POSTGRES_PASSWORD is still a placeholder"):
        environment.require_strong(values, name)
    images = environment.read((STACK / "images.env").read_bytes(), "images.env")
    text = (STACK / "compose.platform.yml").read_text(encoding="utf8")
    needed = {
        part.partition(":")[0].partition("}")[0] for part in text.split("${")[1:] if ":?" in part.partition("}")[0]
    }
    assert needed - {"PLATFORM_DIRECTORY"} <= values.keys() | images.keys()


def test_compose_reads_back_what_was_written(tmp_path: Path) -> None:
    require_docker()
    values = {
        "A": "it's HOME",
        "B": 'say "hi" \\ $x',
        "H": "$HOME \\d",
        "C": "two\nlines'",
        "D": "",
        "E": "# no comment",
        "F": "a b",
        "G": "'\"",
    }
    (tmp_path / ".env").write_bytes(environment.as_file(values))
    services = {"a": {"image": "x", "environment": {name: f"${{{name}}}" for name in values}}}
    (tmp_path / "compose.yml").write_text(yaml.safe_dump({"services": services}), encoding="utf8")
    done = subprocess.run(["docker", "compose", "config"], cwd=tmp_path, capture_output=True, text=True)
    found = yaml.safe_load(done.stdout)["services"]["a"]["environment"]
    assert {name: value.replace("$$", "$") for name, value in found.items()} == values
    assert environment.read(environment.as_file(values), "x") == values


@pytest.mark.parametrize("value", ["it's $HOME", "a\\\\b", "ends\\", "a\\'b", "'a\\b"])
def test_what_is_read_in_two_ways_is_not_written(value: str) -> None:
    with pytest.raises(ConfigurationError, match="The value of A_PASSWORD has a backslash") as raised:
        environment.as_file({"A_PASSWORD": value})
    assert value not in str(raised.value)


@pytest.mark.parametrize("name", ["SMTP_PW", "APIKEY", "JWT_SECRET_1", "AUTH_PASSWORD_OLD", "DB_PWD", "SIGNING_KEY2"])
def test_secrets_are_known_by_their_names(name: str) -> None:
    assert environment.is_secret(name)
    assert not environment.is_secret(f"{name}_URL")


def test_files_of_nginx_take_capitals_only_and_no_secret() -> None:
    assert environment.filled("a ${PORT} $host ${lower} $", {"PORT": "8"}, "x") == "a 8 $host ${lower} $"
    with pytest.raises(ConfigurationError, match=r"uses \$\{MISSING\}, which no \.env file sets"):
        environment.filled("${MISSING}", {}, "x")
    with pytest.raises(ConfigurationError, match="uses the secret"):
        environment.filled("${A_PASSWORD}", {"A_PASSWORD": "x"}, "x")


def test_a_line_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no `=`"):
        environment.read(b"A=1\nB\n", ".env.prod")


def test_a_secret_may_be_a_reference(tmp_path: Path, aws: None) -> None:
    (tmp_path / "secret").write_text("sixteen-letters-3\n", encoding="utf8")
    found = environment.resolved(
        {
            "A_PASSWORD": f"file:{tmp_path}/secret",
            "DB_PASSWORD": "aws:kerp/prod/db#password",
            "HOST": "aws:kerp/prod/db",
        }
    )
    assert found == {"A_PASSWORD": "sixteen-letters-3", "DB_PASSWORD": "of the master", "HOST": "aws:kerp/prod/db"}
