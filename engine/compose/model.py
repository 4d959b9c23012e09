"""What a compose file says, once compose has resolved it (`docker compose config --format json`)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from engine.errors import ConfigurationError
from engine.settings_model import Frozen

ROLLOUT, ROUTES = "x-rollout", "x-routes"


class Strategy(StrEnum):
    """How a service is replaced (stack/compose.platform.yml says what each means)."""

    ROLLING = "rolling"
    STOP_FIRST = "stop-first"
    RECREATE = "recreate"
    NEVER = "never"


class VersionProbe(Frozen):
    """Where a service tells its version: a path, and the key in its JSON."""

    path: str = Field(pattern=r"^/")
    key: str = "version"


class Rollout(Frozen):
    """What `x-rollout` says of a service, at the top of the file: compose does not print what stands in a service."""

    strategy: Strategy
    port: int | None = Field(default=None, ge=1, le=65535)
    health: str = Field(default="", pattern=r"^(/|$)")
    version: VersionProbe | None = None
    migrate: tuple[str, ...] = ()
    within_version: bool = False
    databases: tuple[str, ...] = ()

    @field_validator("migrate", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return tuple(shlex.split(value)) if isinstance(value, str) else value

    def reports_version(self, version: str) -> bool:
        """Whether a container of this version can be asked for it: `latest` and a digest are not what it calls itself."""
        return self.version is not None and version not in ("", "latest")

    @model_validator(mode="after")
    def _can_be_probed(self) -> Self:
        if self.strategy is Strategy.ROLLING and self.port is None:
            raise ValueError("a rolling service needs the port it answers at")
        return self


class Route(Frozen):
    """A path of the platform: the service behind it, and what a smoke test asks, through nginx and directly."""

    service: str
    probe: str = Field(pattern=r"^/")
    direct: str = Field(pattern=r"^/")
    status: int = 200

    def __str__(self) -> str:
        return f"{self.service}, asked at {self.probe} ({self.direct} itself) for {self.status}"


@dataclass(frozen=True)
class Service:
    """One service. `definition` is compose's own, resolved: it holds secrets."""

    name: str
    rollout: Rollout
    definition: Mapping[str, Any]

    @property
    def image(self) -> str:
        return str(self.definition["image"])

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(self.definition.get("depends_on") or ())

    @property
    def grace_seconds(self) -> float:
        """How long it may take to stop."""
        return _seconds(str(self.definition.get("stop_grace_period") or "10s"))

    @property
    def start_seconds(self) -> float:
        """How long it may take to become healthy: compose's own start period, and every retry after it."""
        check = self.definition.get("healthcheck") or {}
        interval, start = _seconds(check.get("interval", "30s")), _seconds(check.get("start_period", "0s"))
        return start + interval * (int(check.get("retries", 3)) + 2)


@dataclass(frozen=True)
class Model:
    """A whole compose file."""

    project: str
    services: Mapping[str, Service]
    routes: Mapping[str, Route]
    network: str
    volumes: Mapping[str, str]

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The services in the order they are started in: each after those it needs."""
        ordered: list[str] = []

        def place(name: str) -> None:
            if name in ordered or name not in self.services:
                return
            for needed in sorted(self.services[name].needs):
                place(needed)
            ordered.append(name)

        for name in sorted(self.services):
            place(name)
        return tuple(ordered)

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        wanted = set(names)
        return tuple(name for name in self.order if name in wanted)


def parse_model(document: bytes) -> Model:
    """The model of compose's JSON.

    Raises:
        ConfigurationError: a service lacks what a rollout needs.
    """
    found = _undoubled(json.loads(document))
    rollouts = found.get(ROLLOUT) or {}
    services = {name: _service(name, each, rollouts.get(name)) for name, each in found.get("services", {}).items()}
    if unknown := sorted(rollouts.keys() - services.keys()):
        raise ConfigurationError(f"{ROLLOUT} of the compose file names {unknown[0]}, which is no service of it.")
    try:
        routes = {path: Route.model_validate(each) for path, each in (found.get(ROUTES) or {}).items()}
    except ValidationError as error:
        raise ConfigurationError(f"{ROUTES} of the compose file: {_first(error)}.") from None
    if astray := sorted(path for path, route in routes.items() if route.service not in services):
        raise ConfigurationError(f"{ROUTES} of the compose file sends {astray[0]} to a service that is not in it.")
    networks = found.get("networks") or {}
    network = str((networks.get("default") or {}).get("name") or f"{found['name']}_default")
    volumes = {name: str(each["name"]) for name, each in (found.get("volumes") or {}).items()}
    return Model(found["name"], services, routes, network, volumes)


def _undoubled(value: Any) -> Any:
    """Compose prints a `$` twice, so that what it prints can be read by it again."""
    if isinstance(value, dict):
        return {key: _undoubled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_undoubled(each) for each in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def _service(name: str, definition: dict[str, Any], rollout_of: Any) -> Service:
    where = f"The service {name} of the compose file"
    if rollout_of is None:
        raise ConfigurationError(f"{where} is not in its {ROLLOUT}: say there how it is replaced.")
    try:
        rollout = Rollout.model_validate(rollout_of)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {ROLLOUT}: {_first(error)}.") from None
    if "image" not in definition:
        raise ConfigurationError(f"{where} names no image; build it before, and name it.")
    if rollout.strategy is not Strategy.ROLLING:
        return Service(name, rollout, definition)
    test = (definition.get("healthcheck") or {}).get("test") or ["NONE"]
    if test[0] == "NONE":
        raise ConfigurationError(f"{where} is rolling and has no health check: nothing would say when it is ready.")
    if definition.get("container_name") or definition.get("ports"):
        raise ConfigurationError(
            f"{where} is rolling: a container_name or published ports keep a second one from starting."
        )
    if written := [each["target"] for each in definition.get("volumes") or () if not each.get("read_only")]:
        raise ConfigurationError(
            f"{where} is rolling and may write to {written[0]}: two at once would; mount it read-only, or let it be stop-first."
        )
    return Service(name, rollout, definition)


def _first(error: ValidationError) -> str:
    mistake = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(step) for step in mistake["loc"])
    return f"{place}: {mistake['msg'].removeprefix('Value error, ')}" if place else mistake["msg"]


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def _seconds(duration: str) -> float:
    """A duration as compose prints it: `1m30s`."""
    seconds, number, unit = 0.0, "", ""
    for character in f"{duration} ":
        if character.isdigit() or character == ".":
            if unit:
                seconds, number, unit = seconds + float(number) * _UNITS[unit], "", ""
            number += character
        elif character.isalpha():
            unit += character
    return seconds + (float(number) * _UNITS[unit] if number and unit else 0.0)
