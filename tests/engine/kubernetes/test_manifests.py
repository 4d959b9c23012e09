"""What is made of manifests, what differs, jobs and quantities: all pure."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import ConfigurationError
from engine.kubernetes.differences import differences, values
from engine.kubernetes.jobs import attempts, job_of, state_of
from engine.kubernetes.load import quantity
from engine.kubernetes.manifests import (
    configs_of,
    placed,
    references,
    repository_of,
    version_of,
    with_config_mark,
    with_held,
    with_version,
)
from engine.kubernetes.objects import selector_of


def deployment(**container: Any) -> dict[str, Any]:
    given = {"name": "kerp-api", "image": "registry:5000/kerp/api:none"} | container
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "kerp-api"},
        "spec": {"template": {"spec": {"containers": [given]}}},
    }


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kerp-config"}, "data": data}


@pytest.mark.parametrize(
    ("image", "repository", "version"),
    [
        ("kerp/api:1", "kerp/api", "1"),
        ("registry:5000/kerp/api", "registry:5000/kerp/api", ""),
        ("registry:5000/kerp/api:1a2b-2026", "registry:5000/kerp/api", "1a2b-2026"),
        ("kerp/api:1@sha256:ab", "kerp/api", "1@sha256:ab"),
    ],
)
def test_an_image_s_name_and_its_version(image: str, repository: str, version: str) -> None:
    assert (repository_of(image), version_of(image)) == (repository, version)


def test_a_version_replaces_the_tag_and_nothing_else() -> None:
    [made] = with_version([deployment()], "kerp-api", "1a2b3c4d-20260101120000")
    [container] = made["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry:5000/kerp/api:1a2b3c4d-20260101120000"
    for wrong in ("latest", "a b", "", "x" * 129, "a:b"):
        with pytest.raises(ConfigurationError, match="is no version"):
            with_version([deployment()], "kerp-api", wrong)


def test_what_others_refer_to_comes_first_and_nothing_stands_twice() -> None:
    hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "kerp-api"}}
    web = deployment() | {"metadata": {"name": "web"}}
    found = placed([hpa, deployment(), web, config()], "kerp-prod", "kerp-api")
    assert [each["kind"] for each in found[:2]] == ["ConfigMap", "HorizontalPodAutoscaler"]
    assert [each["metadata"]["name"] for each in found[2:]] == ["web", "kerp-api"]
    assert {each["metadata"]["namespace"] for each in found} == {"kerp-prod"}
    with pytest.raises(ConfigurationError, match="ConfigMap kerp-config stands in the manifests twice"):
        placed([deployment(), config(), config()], "kerp-prod", "kerp-api")
    with pytest.raises(ConfigurationError, match="There is no Deployment kerp-api"):
        placed([config()], "kerp-prod", "kerp-api")
    with pytest.raises(ConfigurationError, match=r"no apiVersion, kind or metadata\.name"):
        placed([{"kind": "ConfigMap"}], "kerp-prod", "kerp-api")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"PIN": 271828}}
    with pytest.raises(ConfigurationError, match="PIN of the Secret s is no text; put its value in quotes") as caught:
        placed([deployment(), secret], "kerp-prod", "kerp-api")
    assert "271828" not in str(caught.value)


def test_pods_are_marked_with_the_configuration_they_read_and_with_no_other() -> None:
    reads = deployment(envFrom=[{"configMapRef": {"name": "kerp-config"}}])
    assert references(reads) == {"kerp-config"}

    def mark(*objects: dict[str, Any]) -> str:
        made = next(each for each in with_config_mark(objects) if each["kind"] == "Deployment")
        return str(made["spec"]["template"].get("metadata", {}).get("annotations", {}).get("platform-ops/config", ""))

    assert mark(reads, config(A="1")) == mark(reads, config(A="1")) != mark(reads, config(A="2"))
    assert mark(deployment(), config(A="1")) == ""


def test_differences_have_places_and_no_secrets() -> None:
    before = deployment(env=[{"name": "MODE", "value": "a"}, {"name": "DB_PASSWORD", "value": "canary"}])
    after = deployment(env=[{"name": "MODE", "value": "b"}, {"name": "DB_PASSWORD", "value": "other"}], image="x:2")
    found = {each.where: (each.old, each.new) for each in differences(before, after)}
    assert found["spec.template.spec.containers[kerp-api].env[MODE].value"] == ("a", "b")
    assert found["spec.template.spec.containers[kerp-api].image"][1] == "x:2"
    assert "canary" not in str(found) and "other" not in str(found)
    assert len(found) == 3
    data = values(config(JWT_SECRET="canary", DB_HOST="db"))
    assert data["data.DB_HOST"] == "db" and data["data.JWT_SECRET"].startswith("hash ")


@pytest.mark.parametrize(
    "value",
    [
        "postgres://kerp:canary@db:5432/kerp",
        "redis://:canary@cache:6379",
        "--db-password=canary",
        "host=db password=canary",
        "spring:\n  datasource:\n    password: canary\n",
        '{"apiToken":"canary"}',
    ],
)
def test_a_secret_within_a_value_is_not_shown(value: str) -> None:
    changed = values(deployment(args=[value], env=[{"name": "A", "value": value}])) | values(config(A=value))
    assert "canary" not in str(changed) and "hash " in str(changed)


def test_only_what_is_a_hash_is_taken_for_one_and_what_holds_no_secret_is_shown() -> None:
    assert "canary" not in str(values(config(DB_PASSWORD="hash canary")))
    annotated = config() | {"binaryData": {"key.bin": "Y2FuYXJ5"}}
    annotated["metadata"] = annotated["metadata"] | {"annotations": {"app/token": "canary"}}
    assert "canary" not in str(values(annotated)) and "Y2FuYXJ5" not in str(values(annotated))
    plain = {"A": "http://kerp:8080/path", "B": "arn:aws:secretsmanager:x:secret:kerp/db", "C": "kerp-secrets"}
    assert {key: values(config(**plain))[f"data.{key}"] for key in plain} == plain


def test_what_a_configmap_held_comes_back_whole() -> None:
    reads = deployment(envFrom=[{"configMapRef": {"name": "kerp-config"}}])
    held = config(A="1") | {"binaryData": {"b": "AAE="}}
    other = config(B="2") | {"metadata": {"name": "other"}}
    recorded = configs_of([held, other], reads)
    assert set(recorded) == {"kerp-config"}, "what these pods do not read is none of theirs"
    back = with_held(config(A="2") | {"binaryData": {"c": "AA=="}}, recorded["kerp-config"])
    assert (back["data"], back["binaryData"]) == ({"A": "1"}, {"b": "AAE="})
    assert "binaryData" not in with_held(held, {"A": "1"})


def test_pods_are_selected_by_expressions_too() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["web", "api"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "app", "operator": "Exists"},
    ]
    selector = {"matchLabels": {"app": "a"}, "matchExpressions": expressions}
    assert selector_of({"spec": {"selector": selector}}) == "app=a,tier in (web,api),!old,app"


def test_a_difference_at_the_end_of_a_long_value_is_one() -> None:
    long = "x" * 5000
    [found] = differences(config(A=long + "1"), config(A=long + "2"))
    assert found.old != found.new and len(found.old) < 300


def test_what_the_server_keeps_for_itself_is_no_difference() -> None:
    live = config(A="1") | {"status": {"x": 1}}
    live["metadata"] |= {"uid": "u", "resourceVersion": "5", "managedFields": [{}], "creationTimestamp": "t"}
    assert differences(live, config(A="1")) == ()


CRON_JOB: dict[str, Any] = {
    "metadata": {"name": "month-end-closing", "uid": "c"},
    "spec": {
        "jobTemplate": {
            "metadata": {"labels": {"app": "month-end-closing"}},
            "spec": {
                "template": {
                    "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}]}
                }
            },
        }
    },
}


def test_a_job_is_the_template_s_with_its_period() -> None:
    job = job_of(CRON_JOB, "month-end-closing-2026-11", "2026-11", {"CLOSING_MONTH": "2026-11"})
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "A", "value": "1"}, {"name": "CLOSING_MONTH", "value": "2026-11"}]
    assert job["metadata"]["ownerReferences"][0]["name"] == "month-end-closing"
    job["metadata"]["creationTimestamp"] = "2026-11-30T14:00:00Z"
    assert attempts([job], "month-end-closing", "2026-11") == [job]
    assert attempts([job], "month-end-closing", "2026-10") == []
    assert attempts([job], "log-cleanup", "2026-11") == []
    with pytest.raises(ConfigurationError, match="more than 63 letters"):
        job_of(CRON_JOB, "x" * 64, "", {})


def test_how_a_job_ended() -> None:
    failed = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}}
    assert (state_of(failed).ended, state_of(failed).why) == ("Failed", "BackoffLimitExceeded")
    assert state_of({"status": {"active": 1}}).ended == ""


@pytest.mark.parametrize(
    ("text", "number"), [("250m", 0.25), ("1Gi", 2.0**30), ("1500000n", 0.0015), ("2", 2.0), ("128974848", 128974848.0)]
)
def test_quantities(text: str, number: float) -> None:
    assert quantity(text) == pytest.approx(number)
