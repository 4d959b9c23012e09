"""What is deployed, from prefect.yaml, platform-ops.toml and what an operator changed in the UI."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.forms import with_dropdowns
from deployments.plan import Existing, Scheduled, completed, scheduled_values, stale_slugs
from engine.config.clusters import ClusterSettings
from engine.config.settings import FolderStore, Settings
from engine.sources.postgres.settings import ServerSettings

SCHEMA = {
    "type": "object",
    "properties": {
        "source": {"type": "string", "default": "platform", "position": 0},
        "store": {"type": "string", "default": "", "position": 1},
        "which": {"type": "string", "default": "newest", "position": 2},
    },
}
CRON = {"cron": "0 2 * * *", "timezone": "Asia/Seoul"}
DOCUMENT = {
    "deployments": [
        {
            "name": "nightly-backup",
            "entrypoint": "flows.nightly_backup.nightly_backup",
            "work_pool": {"name": "backup", "work_queue_name": "nightly-backup"},
            "schedules": [{"slug": "nightly", **CRON}],
        }
    ]
}


def settings(*servers: str) -> Settings:
    return Settings(
        sources={name: ServerSettings(store="nightly") for name in servers},
        stores={"nightly": FolderStore(path="/srv/backups")},
    )


def planned(existing: dict[str, Existing] | None = None, *servers: str) -> dict[str, Any]:
    result = completed(DOCUMENT, {"nightly-backup": SCHEMA}, settings(*(servers or ("prod",))), existing or {})
    entry: dict[str, Any] = result["deployments"][0]
    return entry


def scheduled(slug: str | None, *, active: bool = True, **parameters: str) -> Scheduled:
    return Scheduled(slug=slug, active=active, parameters=parameters, spec=CRON)


def test_a_form_offers_the_sources_and_stores_of_the_file() -> None:
    fields = with_dropdowns(SCHEMA, settings("prod", "staging"), "nightly-backup")["properties"]
    assert fields["source"]["enum"] == ["prod", "staging"]
    assert fields["source"]["default"] == "prod"
    assert fields["store"]["enum"] == ["", "nightly"]  # empty: the source's own
    assert fields["store"]["default"] == ""
    assert fields["which"]["anyOf"][0]["enum"] == ["newest", "newest-usable", "newest-good", "newest-proven"]


def test_a_form_has_titles_for_people_offers_sets_and_takes_nothing_else() -> None:
    form = with_dropdowns(
        SCHEMA, settings("prod"), "restore-drill", (), ("20261129T171700Z-abcd", "20261128T171700Z-abcd")
    )
    titles = {name: field["title"] for name, field in form["properties"].items()}
    assert titles == {"source": "PostgreSQL server", "store": "Backup store", "which": "Set"}
    assert form["required"] == ["source"]  # of all others the form says "(Optional)", and they are
    assert form["properties"]["which"]["anyOf"][0]["enum"][-2:] == ["20261129T171700Z-abcd", "20261128T171700Z-abcd"]
    assert form["additionalProperties"] is False
    restore = {"properties": {"server": {"default": "platform"}, "to": {"default": ""}, "confirm": {"type": "array"}}}
    form = with_dropdowns(restore, settings("prod", "new"), "restore-databases")["properties"]
    assert (form["server"]["enum"], form["to"]["enum"]) == (["prod", "new"], ["", "prod", "new"])


def test_a_form_offers_what_is_known() -> None:
    schema = {"properties": {"what": {"type": "string", "default": ""}, "databases": {"type": "array"}}}
    known = ("cluster", "db/hub", "db/운영")
    fields = with_dropdowns(schema, settings("prod"), "restore-drill", known)["properties"]
    assert fields["what"]["enum"] == ["", "cluster", "db/hub", "db/운영"]
    assert fields["databases"]["items"] == {"type": "string", "enum": ["hub", "운영"]}
    nobody_answered = with_dropdowns(schema, settings("prod"), "restore-drill")
    assert "enum" not in nobody_answered["properties"]["what"]
    no_database = with_dropdowns(schema, settings("prod"), "restore-drill", ("cluster",))["properties"]["databases"]
    assert "items" not in no_database  # an empty list could be chosen from no more


def test_a_server_is_asked_for_where_only_servers_will_do() -> None:
    schema = {"properties": {"server": {"type": "string", "default": "platform"}}}
    fields = with_dropdowns(schema, settings("prod"), "restore-databases")["properties"]
    assert (fields["server"]["enum"], fields["server"]["default"]) == (["prod"], "prod")


def test_the_first_source_is_the_default() -> None:
    assert planned(None, "prod", "staging")["parameters"] == {"source": "prod"}


def test_each_source_has_its_own_schedule() -> None:
    entry = planned(None, "prod", "staging")
    assert entry["schedules"] == [
        {"slug": "nightly-prod", **CRON, "parameters": {"source": "prod"}},
        {"slug": "nightly-staging", **CRON, "parameters": {"source": "staging"}},
    ]


def test_the_file_itself_is_left_as_it_was() -> None:
    before = str(DOCUMENT)
    planned(None, "prod", "staging")
    assert str(DOCUMENT) == before


def test_what_an_operator_paused_stays_paused() -> None:
    found = Existing(paused=True, schedules=(scheduled("nightly-prod", active=False, source="prod"),))
    entry = planned({"nightly-backup": found})
    assert entry["paused"] is True
    assert [schedule["active"] for schedule in entry["schedules"]] == [False]


@pytest.mark.parametrize("slug", [None, "before-the-release"])
def test_a_schedule_an_operator_added_stays(slug: str | None) -> None:
    own = scheduled(slug, active=False, source="prod")
    found = Existing(paused=False, schedules=(scheduled("nightly-prod", source="prod"), own))
    entry = planned({"nightly-backup": found})
    assert entry["schedules"][1:] == [own.document()]


def test_schedules_of_sources_that_are_gone_go() -> None:
    kept = scheduled("nightly-prod", source="prod")
    gone = scheduled("nightly-old", source="old")
    plain = scheduled("nightly")  # of a plain `prefect deploy`
    own = scheduled("nightly-twice", source="prod")  # an operator's: it names a server that is there
    found = Existing(paused=False, schedules=(kept, gone, plain, own))
    stale = stale_slugs(DOCUMENT["deployments"][0], "source", settings("prod"), found)
    assert stale == {"nightly-old", "nightly"}
    slugs = [schedule["slug"] for schedule in planned({"nightly-backup": found})["schedules"]]
    assert slugs == ["nightly-prod", "nightly-twice"]


def _of_clusters() -> Settings:
    folder = {"namespace": "kerp", "manifests": "/srv/kerp"}
    return Settings(
        sources={"prod": ServerSettings(store="nightly"), "kerp": ServerSettings(store="nightly")},
        stores={"nightly": FolderStore(path="/srv/backups")},
        clusters={
            "production": ClusterSettings(environment="production", backup="kerp", **folder),
            "staging": ClusterSettings(**folder),
            "try": ClusterSettings(schedules=True, **folder),
        },
    )


def test_the_database_of_a_cluster_s_application_is_backed_up_by_one_schedule() -> None:
    assert scheduled_values(_of_clusters(), "source", "nightly-backup") == ["prod"]
    assert scheduled_values(_of_clusters(), "source", "restore-drill") == ["prod", "kerp"]
    assert scheduled_values(_of_clusters(), "cluster", "daily-backup") == ["production"]


def test_jobs_are_scheduled_in_production_and_where_the_file_says_so() -> None:
    assert scheduled_values(_of_clusters(), "cluster", "month-end-closing") == ["production", "try"]
