"""The lock: a Lease object of the cluster, taken over from whoever has died, and from nobody else."""

from __future__ import annotations

import pytest
import yaml

from engine.errors import LockedByAnother
from engine.kubernetes import lease
from engine.kubernetes.lease import LeaseLost, held
from engine.kubernetes.objects import LEASES
from tests.engine.kubernetes.application import App

pytestmark = pytest.mark.xdist_group("kubernetes")
ELSEWHERE = "00000000-1-00000000.1"
"""A process of another host: nobody here can tell whether it lives."""


def _left_behind(app: App, process: str) -> None:
    wanted = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "platform-ops-kerp-api",
            "annotations": {"platform-ops/owner": "somebody", "platform-ops/process": process},
        },
        "spec": {"holderIdentity": "another", "renewTime": "2026-01-01T00:00:00.000000Z"},
    }
    app.cluster.kubectl("-n", app.namespace, "apply", "-f", "-", given=yaml.safe_dump(wanted))


def test_whoever_beats_no_more_holds_nothing(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.3)
    _left_behind(app, ELSEWHERE)
    with held(app.connection, "kerp-api", "a test") as mine:
        mine.require()
        with pytest.raises(LockedByAnother, match="locked by a test"), held(app.connection, "kerp-api", "another"):
            pass
        mine.require()

        # Somebody took it over: from then on nothing more is touched.
        app.connection.patch(LEASES, mine.name, {"spec": {"holderIdentity": "another"}})
        assert mine.lost.wait(10)
        with pytest.raises(LeaseLost, match="the next run puts right what this one began"):
            mine.require()
    assert app.connection.get(LEASES, mine.name)["spec"]["holderIdentity"] == "another", "it is not ours to give back"
