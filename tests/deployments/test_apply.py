"""Applying to a real Prefect server: everything is there, and doing it again changes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import EventTrigger
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.apply import PREFECT_YAML, apply, apply_automations, apply_blocks, main
from deployments.automations import wanted
from deployments.prefect_api import connected, find_deployment
from engine.config.settings import FolderStore, Settings
from engine.errors import ConfigurationError, TransientFailure
from engine.sources.postgres.settings import ServerSettings
from engine.sources.registry import default_retention
from tasks.running import TAG
from tests.blocks.made import ServerBlock

FLOWS = [
    "nightly-backup",
    "restore-drill",
    "verify-backups",
    "check-backups",
    "restore-databases",
    "prune-backups",
]


def settings(port: int = 5432) -> Settings:
    return Settings(
        sources={"prod": ServerSettings(port=port, password="file:/run/canary-reference", store="vault")},
        stores={"vault": FolderStore(path="/srv/backups", retention=default_retention())},
    )


def applied(configured: Settings) -> list[str]:
    lines: list[str] = []
    apply(configured, report=lines.append)
    return lines


def blocks_applied(configured: Settings) -> list[str]:
    lines: list[str] = []
    with connected() as client:
        apply_blocks(client, configured, lines.append)
    return lines


def automations_applied() -> list[str]:
    lines: list[str] = []
    with connected() as client:
        apply_automations(client, settings(), lines.append)
    return lines


OF_PLATFORMS = [
    *("deploy", "update", "rollback", "rollback-database", "restart", "start", "stop"),
    *("platform-status", "platform-health", "platform-logs"),
]
"""Deployed only where a platform is configured; each waits for the platform's own lock, not in a queue."""

OF_KINDS = [
    *("volume-snapshot", "restore-volumes", "certificate-renew", "realm-export", "restore-realm"),
    *("restore-certificate", "image-archive", "restore-images"),
]
"""Deployed only where such a source is configured."""


OF_CLUSTERS = [
    *("kerp-deploy", "kerp-rollback", "kerp-history", "kerp-migrate", "kerp-scale", "kerp-restart", "kerp-delete-pod"),
    *("kerp-logs", "kerp-top", "kerp-check-database", "daily-backup", "month-end-closing", "log-cleanup"),
]
"""Deployed only where a cluster is configured; each change waits for the application's own lock."""


def deployments() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = yaml.safe_load(PREFECT_YAML.read_text(encoding="utf8"))["deployments"]
    return entries


def test_prefect_yaml_has_every_operation_with_dotted_entrypoints() -> None:
    assert [entry["name"] for entry in deployments()] == FLOWS + OF_PLATFORMS + OF_CLUSTERS + OF_KINDS
    for entry in deployments():
        module = entry["name"].replace("-", "_")
        assert entry["entrypoint"] == f"flows.{module}.{module}"
    pools = {entry["name"]: entry["work_pool"]["name"] for entry in deployments()}
    assert {name for name, pool in pools.items() if pool == "restore"} == {
        "restore-drill",
        "restore-databases",
        "restore-volumes",
        "restore-realm",
        "restore-certificate",
        "restore-images",
    }


def test_every_deployment_has_the_tag_that_automations_look_for() -> None:
    assert [entry["name"] for entry in deployments() if TAG not in entry["tags"]] == []


def test_prefect_yaml_runs_on_seoul_time_and_knows_no_machines_path() -> None:
    when = {entry["name"]: (s["cron"], s["timezone"]) for entry in deployments() for s in entry.get("schedules", [])}
    assert when == {
        "nightly-backup": ("0 2 * * *", "Asia/Seoul"),
        "restore-drill": ("0 4 * * *", "Asia/Seoul"),
        "verify-backups": ("0 5 * * *", "Asia/Seoul"),
        "check-backups": ("0 9 * * *", "Asia/Seoul"),
        "daily-backup": ("0 2 * * *", "UTC"),
        "month-end-closing": ("0 23 L * *", "Asia/Seoul"),
        "log-cleanup": ("0 4 * * 0", "Asia/Seoul"),
        "volume-snapshot": ("0 3 * * 0", "Asia/Seoul"),
        "certificate-renew": ("30 3 * * *", "Asia/Seoul"),
        "realm-export": ("*/15 * * * *", "Asia/Seoul"),
        "image-archive": ("45 3 * * *", "Asia/Seoul"),
    }
    text = re.sub(r"(?m)#.*$", "", PREFECT_YAML.read_text(encoding="utf8"))
    assert text.count("/") == text.count("Asia/Seoul") + text.count("*/15 ")


def test_no_deployment_has_a_limit_that_ends_a_run_when_prefect_was_away() -> None:
    """A deployment's limit is a lease: a run whose lease could not be renewed is cancelled by Prefect's client."""
    assert [entry["name"] for entry in deployments() if "concurrency_limit" in entry] == []
    waiting = {entry["name"]: entry["work_pool"].get("work_queue_name") for entry in deployments()}
    waits = {name: name for name in FLOWS + OF_KINDS}
    assert waiting == waits | dict.fromkeys(OF_PLATFORMS + OF_CLUSTERS) | {"daily-backup": "nightly-backup"}


def test_every_run_s_heart_beats_three_times_before_it_is_called_dead() -> None:
    beats = {
        int(entry["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) for entry in deployments()
    }
    zombies = next(wanted(None, {}))
    assert isinstance(zombies.trigger, EventTrigger)
    assert 3 * max(beats) < zombies.trigger.within.total_seconds()


def test_applying_twice_changes_nothing_and_keeps_what_an_operator_did(prefect_server: str) -> None:
    with get_client(sync_client=True) as client:  # another test's, on the same server
        for deployment in client.read_deployments(limit=200):
            client.delete_deployment(deployment.id)
        for pool in client.read_work_pools():
            client.delete_work_pool(pool.name)
    first = applied(settings())
    assert {"+ backup-store/vault", "+ postgresql-server/prod", "+ work pool backup"} <= set(first)
    assert {f"+ deployment {name}" for name in FLOWS} <= set(first)
    assert {line[0] for line in applied(settings())} == {"=", "?"}

    with get_client(sync_client=True) as client:
        queues = {each.name: each.concurrency_limit for each in client.read_work_queues(limit=200)}
        assert {name: queues.get(name) for name in FLOWS} == dict.fromkeys(FLOWS, 1)
        checks = find_deployment(client, "check-backups")
        assert checks is not None
        requested = {"parameters": {"source": "prod", "nonsense": 1}}
        refused = httpx.post(f"{prefect_server}/deployments/{checks.id}/create_flow_run", json=requested)
        assert (refused.status_code, refused.json()["detail"]) == (
            409,
            "Error creating flow run: Validation failed. Failure reason: Additional properties are not allowed "
            "('nonsense' was unexpected)",
        )
        nightly = find_deployment(client, "nightly-backup")
        drill = find_deployment(client, "restore-drill")
        assert nightly is not None
        assert drill is not None
        client.update_deployment_schedule(nightly.id, nightly.schedules[0].id, active=False)
        client.pause_deployment(drill.id)
    # Prefect wipes a schedule's parameters when it is paused through the API: they come back.
    assert [line for line in applied(settings()) if line[0] == "~"] == ["~ deployment nightly-backup: schedules"]
    with get_client(sync_client=True) as client:
        nightly = find_deployment(client, "nightly-backup")
        drill = find_deployment(client, "restore-drill")
        assert nightly is not None
        assert drill is not None
        assert [(s.slug, s.active, s.parameters) for s in nightly.schedules] == [
            ("nightly-prod", False, {"source": "prod"})
        ]
        assert drill.paused
        assert nightly.parameters == {"source": "prod"}
        form = nightly.parameter_openapi_schema or {}
        assert form["properties"]["source"]["enum"] == ["prod"]
        assert nightly.pull_steps == []
        assert nightly.path is None


def test_the_file_wins_over_an_edited_block(prefect_server: str) -> None:
    blocks_applied(settings())
    typed = {"port": 6000, "password": "canary-typed-into-the-form"}
    ServerBlock.named("prod").model_copy(update=typed).save("prod", overwrite=True)
    changes = [line for line in blocks_applied(settings()) if line[0] == "~"]
    assert changes == [
        "~ postgresql-server/prod: password changes",
        "~ postgresql-server/prod: port 6000 -> 5432",
    ]
    assert ServerBlock.named("prod").settings() == settings().sources["prod"]


def test_failures_are_told_to_the_block_called_alerts_once_there_is_one(prefect_server: str) -> None:
    first = automations_applied()
    assert [line for line in first if line[0] == "?"] == [
        "? nobody is told of failures: make a notification block called alerts in the UI "
        "(Blocks, +, Slack, Teams, mail, ...) and apply again"
    ]
    CustomWebhookNotificationBlock(name="any", url="http://127.0.0.1:9/").save("alerts")
    made = [line for line in automations_applied() if line[0] == "+"]
    assert made == [
        "+ automation platform-ops: failed and crashed runs",
        "+ automation platform-ops: no worker",
        "+ automation platform-ops: late runs",
        "+ automation platform-ops: no cluster of prod verified for 26 hours",
        "+ automation platform-ops: no cluster of prod proven for 26 hours",
    ]
    assert {line[0] for line in automations_applied()} == {"="}
    CustomWebhookNotificationBlock.delete("alerts")
    assert len([line for line in automations_applied() if line[0] == "-"]) == 5
    with get_client(sync_client=True) as client:
        assert sorted(found.name for found in client.read_automations()) == [
            "platform-ops: end runs that never began",
            "platform-ops: end zombie runs",
        ]


def test_no_server_is_one_sentence_and_nothing_is_started() -> None:
    with (
        temporary_settings({PREFECT_API_URL: None}),
        pytest.raises(ConfigurationError, match="set PREFECT_API_URL"),
    ):
        applied(settings())
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(TransientFailure, match=r"at http://127\.0\.0\.1:9/api does not answer"),
    ):
        applied(settings())


def test_a_missing_file_is_exit_code_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--config", str(tmp_path / "none.toml")])
    assert result.exit_code == 2
    assert "cannot be read" in result.output
