"""What a compose file says, and which files are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.compose.model import Strategy, parse_model
from engine.errors import ConfigurationError

CHECK = {"test": ["CMD", "true"], "interval": "2s", "start_period": "1m30s", "retries": 5}


def document(**services: Any) -> bytes:
    rollouts = {name: each.pop("x", {"strategy": "recreate"}) for name, each in services.items()}
    return json.dumps({"name": "kecp", "services": services, "x-rollout": rollouts}).encode()


def rolling(**more: Any) -> dict[str, Any]:
    return {
        "image": "api:1",
        "healthcheck": CHECK,
        "x": {"strategy": "rolling", "port": 80, "migrate": "java -jar 'a b'"},
        **more,
    }


def test_services_come_after_those_they_need() -> None:
    model = parse_model(
        document(nginx={"image": "n", "depends_on": {"api": {}}}, db={"image": "d"}, api=rolling(depends_on={"db": {}}))
    )
    assert model.order == ("db", "api", "nginx")
    api = model.services["api"]
    assert (api.rollout.strategy, api.rollout.migrate) == (Strategy.ROLLING, ("java", "-jar", "a b"))
    assert (api.start_seconds, api.grace_seconds) == (104.0, 10.0)


@pytest.mark.parametrize(
    ("service", "why"),
    [
        (rolling(healthcheck=None), "has no health check"),
        (rolling(healthcheck={"test": ["NONE"]}), "has no health check"),
        (rolling(container_name="one"), "a container_name or published ports"),
        (rolling(ports=[{"target": 80}]), "a container_name or published ports"),
        (rolling(volumes=[{"source": "data", "target": "/data"}]), "may write to /data"),
        (rolling(x={"strategy": "rolling"}), "a rolling service needs the port"),
        (rolling(x={"strategy": "blue-green", "port": 80}), "strategy: Input should be"),
        (rolling(x={"strategy": "never", "porte": 80}), "porte: Extra inputs"),
        ({"x": {"strategy": "never"}}, "names no image"),
    ],
)
def test_what_cannot_be_replaced_as_it_says_is_refused(service: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        parse_model(document(api=service))


def test_each_service_says_how_it_is_replaced() -> None:
    found = {"name": "kecp", "services": {"api": {"image": "a"}}, "x-rollout": {}}
    with pytest.raises(ConfigurationError, match="api of the compose file is not in its x-rollout"):
        parse_model(json.dumps(found).encode())
