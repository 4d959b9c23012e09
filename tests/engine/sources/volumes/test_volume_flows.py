"""Volumes as an operator sees them in Prefect: a weekly schedule, a drill of the one that is due, a restore by form."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client

from engine.repository.catalogue import catalogue
from engine.repository.repository import open_repository
from engine.sources.registry import load_settings
from tests.engine.sources.volumes.scene import Engine, kept, odd_things, tree


@pytest.mark.installation
@pytest.mark.xdist_group("flows")
def test_prefect_snapshots_drills_and_restores(
    engine: Engine, tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deployments.apply import apply
    from deployments.automations import wanted
    from flows.restore_drill import restore_drill
    from flows.restore_volumes import restore_volumes
    from flows.volume_snapshot import volume_snapshot

    one, other = engine.volume(), engine.volume()
    names = [folder.parent.name for folder in (one, other)]
    odd_things(one)
    before = tree(one)
    site = kept(engine, tmp_path, dict.fromkeys(names, "none"))
    monkeypatch.setenv("PLATFORM_OPS_CONFIG", str(site.site.config))
    settings = load_settings(site.site.config)
    apply(settings, report=lambda line: None)
    volume_snapshot(site.source)
    apply(settings, report=lambda line: None)
    with get_client(sync_client=True) as client:
        deployed = {each.name: each for each in client.read_deployments(limit=100)}
    form = (deployed["restore-volumes"].parameter_openapi_schema or {})["properties"]
    assert form["source"]["enum"] == [site.source]
    assert sorted(form["volumes"]["items"]["enum"]) == sorted(form["confirm"]["items"]["enum"]) == sorted(names)
    [weekly] = deployed["volume-snapshot"].schedules
    assert (weekly.slug, weekly.parameters) == (f"weekly-{site.source}", {"source": site.source})
    alarms = [each.name for each in wanted(uuid4(), settings.sources) if site.source in each.name]
    assert sorted(alarms) == sorted(
        f"platform-ops: no volume {name} of {site.source} {shown} for 192 hours"
        for name in names
        for shown in ("verified", "proven")
    )
    restore_drill(site.source)  # that nobody narrows: all of them
    repository = open_repository("nightly", settings.stores["nightly"])
    assert {each.state for each in catalogue(repository, site.source).sets} == {"proven"}
    (one / "d" / "a").write_text("written since")
    refused = restore_volumes(site.source, volumes=(names[0],), in_place=True, return_state=True)
    assert refused.is_failed() and (one / "d" / "a").read_text() == "written since"
    done = restore_volumes(site.source, volumes=(names[0],), in_place=True, confirm=(names[0],), return_state=True)
    engine.named(f"{names[0]}-")
    assert str(done.message).startswith(f"1 volume restored as '{names[0]}', each equal to its proof")
    assert tree(one) == before
