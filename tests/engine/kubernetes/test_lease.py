"""The lock: a Lease object of the cluster, taken over from whoever has died, and from nobody else."""

from __future__ import annotations

import pytest

from engine.errors import LockedByAnother
from engine.kubernetes import lease
from engine.kubernetes.lease import LeaseLost, held
from engine.kubernetes.objects import LEASES
from tests.engine.kubernetes.application import App

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("kubernetes")]


def test_whoever_beats_no_more_holds_nothing(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first holder lives and is stalled: no heartbeat of it comes, as of a process that is stopped."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 5.0)
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 3600.0)
    with held(app.connection, "kerp-api", "somebody") as stalled:
        stalled.require()
        monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.3)
        with held(app.connection, "kerp-api", "a test") as mine:
            mine.require()
            with pytest.raises(LeaseLost, match="the next run puts right what this one began"):
                stalled.require()
            with pytest.raises(LockedByAnother, match="locked by a test"), held(app.connection, "kerp-api", "another"):
                pass
            mine.require()

            # Somebody took it over: from then on nothing more is touched.
            app.connection.patch(LEASES, mine.name, {"spec": {"holderIdentity": "another"}})
            assert mine.lost.wait(10)
            with pytest.raises(LeaseLost):
                mine.require()
        assert app.connection.get(LEASES, mine.name)["spec"]["holderIdentity"] == "another", "not ours to give back"


def test_a_holder_that_may_still_have_it_asks_before_it_goes_on(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 3600.0)
    with held(app.connection, "kerp-api", "a test") as mine:
        before = app.connection.get(LEASES, mine.name)["spec"]["renewTime"]
        mine.renewed -= lease.LEASE_SECONDS
        mine.require()
        assert app.connection.get(LEASES, mine.name)["spec"]["renewTime"] > before
