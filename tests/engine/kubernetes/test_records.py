"""What the record of a release that was cut off tells of how far it had come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.kubernetes.objects import digest, template_of
from engine.kubernetes.records import Release, is_before_its_rollout


def deployment(image: str) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "kerp-api"},
        "spec": {"template": {"metadata": {}, "spec": {"containers": [{"name": "a", "image": image}]}}},
    }


CONFIG = {"kind": "ConfigMap", "metadata": {"name": "kerp-config"}}
OLD, NEW, OTHER = deployment("a:1"), deployment("a:2"), deployment("a:3")


@pytest.mark.parametrize(
    ("before", "live", "revision", "expected"),
    [
        ((CONFIG, OLD), OLD, 1, True),
        ((CONFIG, OLD), NEW, 1, False),
        ((CONFIG, OLD), OTHER, 1, False),
        ((CONFIG,), NEW, 1, True),  # no pod was to change: whether all was applied is not known
        ((CONFIG,), OTHER, 1, False),
        ((), NEW, 0, False),  # the first deploy: the Deployment comes last
        ((CONFIG,), NEW, 0, False),
        ((), None, 0, True),
        ((CONFIG, OLD), None, 1, False),  # somebody deleted it since
    ],
)
def test_how_far_a_release_had_come(
    before: tuple[dict[str, Any], ...], live: dict[str, Any] | None, revision: int, expected: bool
) -> None:
    cut = Release(
        id="1",
        operation="deploy",
        deployment="kerp-api",
        environment="staging",
        images={},
        template=digest(template_of(NEW)),
        before_revision=revision,
        begun=datetime(2026, 11, 30, tzinfo=UTC),
    )
    assert is_before_its_rollout(cut, before, live) is expected
