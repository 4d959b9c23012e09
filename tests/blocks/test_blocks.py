"""Blocks hold what the engine's settings hold, and give it back frozen."""

from __future__ import annotations

import pytest
from prefect.blocks.system import Secret
from pydantic import ValidationError

from blocks import BackupStore, PlatformHost
from blocks.config_block import ConfigBlock
from engine.config.settings import (
    FolderStore,
    Retention,
    S3Store,
    StoreSettings,
)
from engine.errors import ConfigurationError
from engine.secrets import resolve
from engine.sources.postgres.settings import ServerSettings
from engine.sources.registry import default_retention
from tests.blocks.made import ServerBlock

KEPT = dict(default_retention())
SERVER = ServerSettings(host="db.internal", port=5433, password="file:/run/pw", exclude=("scrap",), store="nightly")
STORES: list[StoreSettings] = [
    FolderStore(
        path="/srv/backups/of/us", mount="/srv/backups", recipients=("age1qqq",), identity="env:KEY", retention=KEPT
    ),
    FolderStore(path="/srv/b", retention=KEPT | {"cluster": Retention(days=3, minimum=2)}),
    S3Store(
        bucket="kecp",
        region="ap-northeast-2",
        secret_key="prefect:s3",
        lock_mode="COMPLIANCE",
        lock_days=7,
        retention=KEPT,
    ),
]


def test_a_server_block_has_exactly_the_settings_fields() -> None:
    assert set(ServerBlock.model_fields) == set(ServerSettings.model_fields)
    assert ServerBlock.of(SERVER).settings() == SERVER


@pytest.mark.parametrize("settings", STORES)
def test_a_store_block_gives_back_what_it_was_made_of(settings: StoreSettings) -> None:
    assert BackupStore.of(settings).settings() == settings


def test_a_store_block_without_its_place_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="of kind s3 and names no bucket"):
        BackupStore(kind="s3").settings()
    with pytest.raises(ConfigurationError, match="of kind folder and names no path"):
        BackupStore().settings()


def test_a_secret_typed_into_the_form_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValidationError) as caught:
        ServerBlock(store="nightly", password="hunter2")
    assert "given by reference" in str(caught.value.errors(include_input=False))


def test_forms_have_dropdowns_and_readable_titles() -> None:
    server = ServerBlock.model_json_schema()["properties"]
    assert server["sslmode"]["enum"] == ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
    assert server["maintenance_database"]["title"] == "Maintenance database"
    assert PlatformHost.model_json_schema()["properties"]["ssh_key"]["title"] == "SSH key"
    assert BackupStore.model_json_schema()["properties"]["kind"]["enum"] == ["folder", "s3"]


@pytest.mark.parametrize("block", [ServerBlock, BackupStore, PlatformHost])
def test_every_field_of_a_form_has_its_help(block: type[ConfigBlock]) -> None:
    fields = block.model_json_schema()["properties"]
    assert [name for name, field in fields.items() if not field.get("description")] == []


def test_every_field_of_a_block_but_the_servers_store_has_a_default() -> None:
    # A field without one breaks the blocks that are saved already.
    required = [name for name, field in ServerBlock.model_fields.items() if field.is_required()]
    assert required == ["store"]
    assert not [name for name, field in BackupStore.model_fields.items() if field.is_required()]


def test_saved_blocks_are_opened_by_name(prefect_server: str) -> None:
    ServerBlock.of(SERVER).save("opened", overwrite=True)
    assert ServerBlock.named("opened").settings() == SERVER
    for settings in STORES:
        BackupStore.of(settings).save("opened", overwrite=True)
        assert BackupStore.named("opened").settings() == settings


def test_a_block_that_is_not_there_is_one_clear_sentence(prefect_server: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ServerBlock.named("nowhere")
    assert str(caught.value) == (
        "There is no block postgresql-server/nowhere in Prefect; add nowhere to platform-ops.toml "
        "and run `python -m deployments.apply`."
    )


def test_prefect_references_are_read_from_secret_blocks(prefect_server: str) -> None:
    Secret(value="s3cr3t").save("po-password", overwrite=True)
    assert resolve("prefect:po-password") == "s3cr3t"
    with pytest.raises(ConfigurationError, match="There is no Secret block po-nothing in Prefect"):
        resolve("prefect:po-nothing")


def test_what_a_store_block_does_not_say_of_a_kind_is_the_kind_s_own() -> None:
    block = BackupStore(path="/srv/b", retention={"db": {"weekly": 1}, "of-a-newer-version": {"days": 1}})
    assert block.settings().retention == KEPT | {"db": KEPT["db"].model_copy(update={"weekly": 1})}
