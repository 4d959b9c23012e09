"""Differences between the file and the blocks are shown, and no secret with them."""

from __future__ import annotations

from blocks import BackupStore, PlatformHost
from deployments.config_blocks import differences, flat, only_inside_prefect, secret_fields
from engine.config.settings import FolderStore, S3Store, Settings
from engine.sources.postgres.settings import ServerSettings
from tests.blocks.made import ServerBlock


def test_a_change_is_shown_and_a_secret_field_is_only_named() -> None:
    before = {"port": 5432, "password": "hunter2", "user": "postgres", "monitors.restore-drill": "hunter3"}
    after = {"port": 5433, "password": "file:/run/pw", "user": "postgres", "jobs": 2}
    lines = differences(before, after, {"password", "monitors"})
    assert lines == ["jobs is new", "monitors.restore-drill goes", "password changes", "port 5432 -> 5433"]
    assert differences({"monitors.a": "x"}, {"monitors.a": "y"}, {"monitors"}) == ["monitors.a changes"]


def test_nested_settings_are_compared_one_by_one() -> None:
    before = dict(flat({"retention": {"cluster": {"days": 30}}}))
    after = dict(flat({"retention": {"cluster": {"days": 14}}}))
    assert differences(before, after, set()) == ["retention.cluster.days 30 -> 14"]


def test_the_fields_that_hold_secrets_are_known() -> None:
    assert secret_fields(ServerBlock(store="nightly")) == {"password", "role_passwords", "monitors"}
    assert secret_fields(PlatformHost()) == {"ssh_key"}
    assert secret_fields(BackupStore()) == {"identity", "digest_key", "access_key", "secret_key", "monitors"}


def test_references_that_only_prefect_can_read_are_found() -> None:
    settings = Settings(
        sources={
            "prod": ServerSettings(store="s3", password="prefect:pg", monitors={"restore-drill": "prefect:push"}),
            "staging": ServerSettings(store="s3", password="env:PW"),
        },
        stores={
            "s3": S3Store(bucket="k", secret_key="prefect:s3"),
            "folder": FolderStore(path="/x", identity="env:K"),
        },
    )
    assert only_inside_prefect(settings) == [
        "sources.prod.monitors.restore-drill",
        "sources.prod.password",
        "stores.s3.secret_key",
    ]
