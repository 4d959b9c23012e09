"""A plan is a pure function of what is and what is wanted."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.compose.containers import Container
from engine.compose.model import Model, parse_model
from engine.errors import ConfigurationError
from engine.releases.plan import Action, World, make_plan
from engine.releases.release import Release, ServiceRelease, is_pin, pin, version_of, with_version

NOW = datetime(2026, 11, 29, tzinfo=UTC)
CHECK = {"test": ["CMD", "true"]}


def model(**rollouts: dict[str, Any]) -> Model:
    services = {name: {"image": name, "healthcheck": CHECK} for name in rollouts}
    return parse_model(json.dumps({"name": "p", "services": services, "x-rollout": rollouts}).encode())


API = {"strategy": "rolling", "port": 80, "migrate": "migrate"}
MODEL = model(
    api=API,
    db={"strategy": "stop-first"},
    kc={"strategy": "rolling", "port": 80, "within_version": True},
    fixed={"strategy": "never"},
)


def service(version: str = "1", **settings: str) -> ServiceRelease:
    return ServiceRelease(
        image=f"p/x:{version}",
        image_id=f"sha256:{version}",
        reference=f"x:{version}",
        config_hash=f"{version}{settings}",
        settings=settings,
    )


def release(**services: ServiceRelease) -> Release:
    every = {name: service() for name in MODEL.services} | services
    return Release(
        id="20261129T000000Z-aaaaaa",
        platform="k",
        environment="prod",
        services=every,
        nginx={},
        nginx_folder="f",
        made=NOW,
    )


def container(name: str, of: ServiceRelease) -> Container:
    return Container(
        name,
        f"p-{name}-1",
        name,
        of.image_id,
        of.image,
        of.config_hash,
        True,
        "healthy",
        "10.0.0.1",
        "/srv/k",
        NOW,
        0,
        0,
        "",
    )


def world(current: Release, **more: Any) -> World:
    containers = {name: [container(name, each)] for name, each in current.services.items()}
    return replace(World(containers, current, "f", frozenset()), **more)


def test_where_nothing_differs_the_plan_is_empty() -> None:
    plan = make_plan("deploy", MODEL, release(), world(release()))
    assert plan.empty and plan.of(Action.KEEP) == MODEL.order


def test_how_a_service_is_replaced_is_a_part_of_a_release_and_makes_no_container() -> None:
    old = release(api=service(**{"x-rollout.health": "/health"}))
    wanted = release(api=service(**{"x-rollout.health": "/ready"}))
    now = world(old, containers={name: [container(name, wanted.services[name])] for name in MODEL.services})
    plan = make_plan("deploy", MODEL, wanted, now)
    assert not plan.empty and plan.changing == ()
    assert [str(each) for each in plan.services[0].changes] == ["configuration x-rollout.health: /health -> /ready"]


def test_another_port_makes_another_container() -> None:
    old = release(api=service(**{"x-rollout.port": "80"}))
    wanted = release(api=service(**{"x-rollout.port": "81"}))
    now = world(old, containers={name: [container(name, wanted.services[name])] for name in MODEL.services})
    assert make_plan("deploy", MODEL, wanted, now).of(Action.ROLL) == ("api",)


def test_another_route_is_another_release() -> None:
    old, wanted = release(), release().model_copy(update={"routes": {"/api/": "api"}})
    plan = make_plan("deploy", MODEL, wanted, world(old))
    assert not plan.empty and plan.changing == ()
    assert [each.where for each in plan.routes] == ["/api/"]


def test_a_new_image_rolls_and_migrates() -> None:
    plan = make_plan("deploy", MODEL, release(api=service("2")), world(release()))
    assert (plan.of(Action.ROLL), plan.migrations) == (("api",), ("api",))
    assert [str(change) for change in plan.changing[0].changes] == ["image: x:1 (1) -> x:2 (2)"]


def test_another_setting_rolls_and_does_not_migrate() -> None:
    plan = make_plan(
        "deploy",
        MODEL,
        release(api=service(**{"environment.A": "2"})),
        world(release(api=service(**{"environment.A": "1"}))),
    )
    assert (plan.of(Action.ROLL), plan.migrations) == (("api",), ())
    assert str(plan.changing[0].changes[0]) == "environment environment.A: 1 -> 2"


def test_a_rollback_never_migrates() -> None:
    assert make_plan("rollback", MODEL, release(api=service("2")), world(release())).migrations == ()


def test_what_rolls_within_a_version_is_stopped_for_another() -> None:
    assert make_plan("deploy", MODEL, release(kc=service("2")), world(release())).of(Action.REPLACE) == ("kc",)
    same = release(kc=service(**{"environment.A": "2"}))
    assert make_plan("deploy", MODEL, same, world(release())).of(Action.ROLL) == ("kc",)


def test_what_is_never_replaced_refuses_the_plan() -> None:
    with pytest.raises(ConfigurationError, match=r"fixed would be replaced .* its strategy is never"):
        make_plan("deploy", MODEL, release(fixed=service("2")), world(release()))


def test_a_stopped_one_is_replaced_and_an_unknown_one_goes() -> None:
    now = world(release())
    containers = {
        **now.containers,
        "api": [replace(now.containers["api"][0], running=False)],
        "gone": [container("gone", service())],
    }
    plan = make_plan("deploy", MODEL, release(), replace(now, containers=containers))
    assert (plan.of(Action.REPLACE), plan.of(Action.REMOVE)) == (("api",), ("gone",))


def test_without_versions_the_image_tells_whether_it_is_another() -> None:
    def keycloak(image_id: str) -> ServiceRelease:
        return service().model_copy(
            update={"reference": f"kc@sha256:{image_id}", "image_id": image_id, "config_hash": image_id}
        )

    plan = make_plan("deploy", MODEL, release(kc=keycloak("b")), world(release(kc=keycloak("a"))))
    assert plan.of(Action.REPLACE) == ("kc",)


def test_what_no_release_made_is_not_taken_over() -> None:
    found = replace(world(release()), current=None)
    with pytest.raises(
        ConfigurationError, match=r"No release is known, and containers of this project are there .*p-api-1"
    ):
        make_plan("deploy", MODEL, release(), found)


def test_a_service_that_runs_twice_is_not_replaced() -> None:
    now = world(release())
    twice = {**now.containers, "api": [*now.containers["api"], container("api2", service())]}
    with pytest.raises(ConfigurationError, match="api runs more than once"):
        make_plan("deploy", MODEL, release(api=service("2")), replace(now, containers=twice))


@pytest.mark.parametrize("what", ["network", "volume data"])
def test_another_name_of_a_volume_would_be_an_empty_one(what: str) -> None:
    old = release().model_copy(update={"names": {what: "k-data"}})
    wanted = release().model_copy(update={"names": {what: "other"}})
    with pytest.raises(ConfigurationError, match=f"The {what} is called k-data .* and would be other"):
        make_plan("deploy", MODEL, wanted, world(old))


def test_where_an_image_comes_from_is_a_part_of_a_release() -> None:
    moved = service().model_copy(update={"reference": "registry2/x:1"})
    plan = make_plan("deploy", MODEL, release(api=moved), world(release()))
    assert not plan.empty and plan.changing == ()


def test_the_hash_is_of_the_plan_and_of_the_world() -> None:
    wanted = release(api=service("2"))
    first = make_plan("deploy", MODEL, wanted, world(release()))
    assert (
        first.hash
        == make_plan(
            "deploy", MODEL, wanted.model_copy(update={"id": "20261129T000000Z-bbbbbb"}), world(release())
        ).hash
    )
    assert first.hash != make_plan("deploy", MODEL, wanted, world(release(), nginx_folder="g")).hash
    assert first.hash != make_plan("deploy", MODEL, release(api=service("3")), world(release())).hash


@pytest.mark.parametrize(
    ("reference", "version", "other"),
    [
        ("kohub:1.0", "1.0", "kohub:2"),
        ("localhost:5000/a/kohub:1.0", "1.0", "localhost:5000/a/kohub:2"),
        ("localhost:5000/kohub", "", "localhost:5000/kohub:2"),
        ("kohub@sha256:abc", "", "kohub:2"),
    ],
)
def test_the_version_of_an_image_is_its_tag(reference: str, version: str, other: str) -> None:
    assert (version_of(reference), with_version(reference, "2")) == (version, other)


def test_only_tags_that_name_their_image_are_ours() -> None:
    assert pin("k", "api", "registry/api:1.4", "sha256:0123456789abcdef") == "k/api:1.4-0123456789ab"
    assert is_pin("k/api:1.4-0123456789ab") and is_pin(pin("k", "api", "api@sha256:1", "0123456789abcdef"))
    assert not is_pin("k/api:1.4.2") and not is_pin("k/api:latest")
