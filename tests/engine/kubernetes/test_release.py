"""Deploys and rollbacks on a real cluster."""

from __future__ import annotations

import pytest

from engine.kubernetes import records
from engine.progress import silent
from engine.steps import InShell
from tests.engine.kubernetes.application import CANARY, App
from tests.kubebox import NEW, OLD

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("kubernetes")]


def test_deploy_change_and_go_back(app: App) -> None:
    first = app.deploy(OLD)
    assert first.plan is not None
    assert {(each.kind, each.action) for each in first.plan.changing} >= {
        ("Deployment", "create"),
        ("ConfigMap", "create"),
    }
    assert (app.image(), len(app.pods())) == (OLD, 2)
    assert first.smoke.endswith("ended with 0")

    again = app.deploy(OLD)
    assert again.plan is not None and again.plan.empty
    assert [title for title, *_ in again.timings] == ["check the rights", "plan"]

    app.configure(config={"DB_HOST": "elsewhere"})
    second = app.deploy(NEW)
    assert second.plan is not None
    reported = {str(each) for one in second.plan.changing for each in one.differences}
    assert any(f"{OLD} -> " in each and each.endswith(NEW) for each in reported)
    assert "data.DB_HOST: (none) -> elsewhere" in reported
    assert app.image() == NEW

    back = app.run("rollback")
    back.carry_out(InShell(silent))
    assert app.image() == OLD
    data = app.cluster.get("-n", app.namespace, "configmap", "kerp-config")["data"]
    assert "DB_HOST" not in data
    assert [each.state for each in records.releases(app.connection, "kerp-api")] == ["good", "good", "good"]
    everything = app.cluster.kubectl("get", "configmaps", "-n", app.namespace, "-o", "yaml") + str(reported)
    assert CANARY not in everything

    # A rollback that knew no ConfigMaps wrote the mark of its revision: the record that has them is meant.
    second_release = records.releases(app.connection, "kerp-api")[1]
    for _ in range(records.KEPT):
        less = second_release.model_copy(update={"id": records.new_id(), "configs": {}})
        records.write(app.connection, less)
    records.prune(app.connection, "kerp-api", {second_release.config})
    assert second_release in records.releases(app.connection, "kerp-api"), "there is a revision that it belongs to"
    forth = app.run("rollback")
    forth.only_plan(InShell(silent))
    assert forth.plan is not None and forth.plan.remarks == ()
    [config] = [each for each in forth.plan.changing if each.kind == "ConfigMap"]
    assert [str(each) for each in config.differences] == ["data.DB_HOST: (none) -> elsewhere"]
