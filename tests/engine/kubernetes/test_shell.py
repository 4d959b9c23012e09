"""`platformctl k8s`: one JSON document each, its exit codes, an approval that is bound to a plan."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.cli import main
from tests.engine.kubernetes.application import CANARY, App, configuration
from tests.kubebox import NEW, OLD

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("kubernetes")]


def test_everything_from_a_shell(app: App, capfd: pytest.CaptureFixture[str]) -> None:
    app.settings["environment"] = "production"
    path = str(configuration(app))

    def ran(*words: str) -> tuple[int, dict[str, Any]]:
        capfd.readouterr()
        code = main(["k8s", *words, "--config", path, "--json"])
        message = capfd.readouterr()
        assert CANARY not in message.out + message.err
        return code, json.loads(message.out)

    code, found = ran("deploy", OLD)
    assert (
        code == 2 and "production needs approval: look at the plan, then give --approve" in found["error"]["sentence"]
    )
    code, plan = ran("plan", OLD)
    approve = plan["result"]["hash"][:12]
    code, found = ran("deploy", OLD, "--approve", "0" * 12)
    assert code == 1 and "nothing was changed" in found["error"]["sentence"]
    code, found = ran("deploy", OLD, "--approve", approve)
    assert (code, found["result"]["changed"], found["result"]["release"]["state"]) == (0, True, "good")
    assert found["result"]["images"] == {"kerp-api": f"local.test/kerp/api:{OLD}"}
    code, found = ran("deploy", NEW, "--approve", approve)
    assert code == 1 and f"{approve!r} was approved; nothing was changed" in found["error"]["sentence"]

    code, found = ran("history")
    assert [each["revision"] for each in found["result"]["revisions"]] == ["1 (runs)"]
    assert found["result"]["releases"][0]["by"].startswith("platformctl k8s deploy by ")
    code, found = ran("scale", "3")
    assert (code, found["result"]["outcome"]) == (0, "kerp-api has 3 pods, 2 before.")
    code, found = ran("scale", "9")
    assert "keeps 2 to 4 pods: it will undo 9 within seconds" in found["result"]["remarks"][0]
    code, found = ran("logs", "--lines", "3")
    assert code == 0 and any("tick" in line for line in found["result"]["lines"])
    code, found = ran("top")
    assert code == 0
    code, found = ran("check-database")
    assert code == 0 and "reaches its database" in found["result"]["outcome"]

    for words, sentence in (
        (("rollback",), "kerp-api has no revision before the one that runs"),
        (("delete-pod", "nobody"), "kerp-api has no pod 'nobody'"),
        (("migrate",), "The cluster box has no database to migrate"),
        (("run-job", "nothing"), "There is no CronJob nothing in"),
        (("deploy", "latest"), "'latest' is no version"),
        (("plan", "--cluster", "other"), "There is no cluster 'other' in the configuration; there are: box."),
    ):
        code, found = ran(*words)
        assert code == 2 and sentence in found["error"]["sentence"], words
