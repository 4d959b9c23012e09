"""The platform's files against the tables it was asked for as: services, ports, volumes, routes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.compose.model import Model, parse_model
from engine.releases import environment
from tests.engine.releases.small_platform import STACK, require_docker

SERVICES = {
    "nginx": {80, 443},
    "postgres": {5432},
    "redis": {6379},
    "keycloak": {8080},
    "kohub-backend": {8080},
    "kohub-frontend": {80},
    "kusthub-backend": {8080},
    "kusthub-frontend": {80},
    "uptime-kuma": {3001},
    "termix": {8080},
}
ROUTES = {
    "/": "kohub-frontend",
    "/api/": "kohub-backend",
    "/support/": "kusthub-frontend",
    "/support/api/": "kusthub-backend",
    "/auth/": "keycloak",
    "/monitor/": "uptime-kuma",
    "/terminal/": "termix",
}
VOLUMES = {
    "kecp-postgres-data",
    "kecp-redis-data",
    "kecp-keycloak-themes",
    "uptime-kuma-data",
    "termix-data",
    "nginx-ssl",
}
ROLLED = {"keycloak", "kohub-backend", "kohub-frontend", "kusthub-backend", "kusthub-frontend"}


@pytest.fixture(scope="module", params=["staging", "prod"])
def resolved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What compose makes of the files of an environment, with its example's variables."""
    require_docker()
    name = request.param
    values = environment.read((STACK / "images.env").read_bytes(), "images.env")
    values |= environment.read((STACK / f".env.{name}.example").read_bytes(), name) | {
        "PLATFORM_DIRECTORY": "/srv/kecp"
    }
    path = tmp_path_factory.mktemp("env") / "env"
    path.write_bytes(environment.as_file(values))
    argv = [
        "docker",
        "compose",
        "--file",
        str(STACK / "compose.platform.yml"),
        "--file",
        str(STACK / f"compose.{name}.yml"),
    ]
    done = subprocess.run([*argv, "--env-file", str(path), "config", "--format", "json"], capture_output=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def model(resolved: dict[str, Any]) -> Model:
    return parse_model(json.dumps(resolved | {"name": "kecp"}).encode())


def test_the_ten_services_one_network_and_the_volumes(resolved: dict[str, Any], model: Model) -> None:
    assert model.services.keys() == SERVICES.keys()
    assert resolved["networks"]["default"]["name"] == "kecp-platform-network" and len(resolved["networks"]) == 1
    assert set(model.volumes.values()) == VOLUMES


def test_nginx_alone_is_reachable_from_outside(resolved: dict[str, Any]) -> None:
    published = {
        name: {port["target"] for port in each.get("ports", ())} for name, each in resolved["services"].items()
    }
    assert {name: ports for name, ports in published.items() if ports} == {"nginx": {80, 443}}


def test_every_service_is_fenced_in(resolved: dict[str, Any]) -> None:
    for name, each in resolved["services"].items():
        assert each.get("user") and each["user"].partition(":")[0] not in ("0", "root"), name
        assert each["security_opt"] == ["no-new-privileges:true"] and each["cap_drop"] == ["ALL"], name
        assert int(each["mem_limit"]) > 0 and each["restart"] == "unless-stopped", name
        assert each["healthcheck"]["start_period"] not in ("", "0s"), name
    read_only = {name for name, each in resolved["services"].items() if each.get("read_only")}
    assert {"nginx", "redis", "kohub-backend", "kusthub-backend", "kohub-frontend", "kusthub-frontend"} <= read_only


def test_one_database_and_one_role_for_each(resolved: dict[str, Any]) -> None:
    script = (STACK / "postgres" / "10-databases.sh").read_text(encoding="utf8")
    assert "for name in keycloak kusthub kohub; do" in script
    services = resolved["services"]
    assert services["keycloak"]["environment"]["KC_DB_URL"].endswith("/keycloak")
    assert services["kohub-backend"]["environment"]["SPRING_DATASOURCE_USERNAME"] == "kohub"
    assert services["kusthub-backend"]["environment"]["SPRING_DATASOURCE_USERNAME"] == "kusthub"


def test_no_secret_stands_in_the_files() -> None:
    for path in (STACK / "compose.platform.yml", STACK / "compose.staging.yml", STACK / "compose.prod.yml"):
        document = yaml.safe_load(path.read_text(encoding="utf8"))
        for name, service in document["services"].items():
            for variable, value in (service.get("environment") or {}).items():
                if environment.is_secret(variable):
                    assert re.fullmatch(r"\$\{[A-Z_]+:\?\}", value), (path.name, name, variable)


def test_the_seven_routes_are_the_same_in_both_files(model: Model) -> None:
    assert {path: route.service for path, route in model.routes.items()} == ROUTES
    text = (STACK / "nginx" / "platform.conf").read_text(encoding="utf8")
    main = text.split("server {")[2]
    blocks = dict(re.findall(r"location (/\S*) \{\n(.*?)\n    \}", main, re.DOTALL))
    passed = {path: re.search(r"proxy_pass http://([a-z-]+)", block) for path, block in blocks.items()}
    assert {path: found[1] if found else "" for path, found in passed.items()} == ROUTES


def test_what_bears_one_writer_is_never_rolled(model: Model) -> None:
    assert {name for name, each in model.services.items() if each.rollout.strategy == "rolling"} == ROLLED
    assert model.services["keycloak"].rollout.within_version
    assert all(model.services[name].rollout.port in SERVICES[name] for name in ROLLED)


def test_images_are_named_in_one_place() -> None:
    text = (STACK / "compose.platform.yml").read_text(encoding="utf8")
    named = set(re.findall(r"image: \$\{([A-Z_]+):\?\}", text))
    assert len(named) == len(re.findall(r"^    image:", text, re.MULTILINE)) == 10
    assert environment.read(Path(STACK / "images.env").read_bytes(), "images.env").keys() == named
