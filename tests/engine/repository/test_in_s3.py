"""Sets in a real S3 server: the same answers, and requests that do not grow with the number of sets."""

from __future__ import annotations

from datetime import timedelta

from engine.config.settings import Retention
from engine.repository.catalogue import catalogue
from engine.repository.keys import Asset
from engine.repository.prune import apply_prune
from engine.repository.prune_plan import plan_prune
from engine.repository.repository import Repository
from engine.repository.sweep import sweep_incomplete
from engine.repository.verify import verify_stored
from tests.engine.repository.made import NOW, a_key, store_set, write
from tests.engine.stores.buckets import S3Bucket
from tests.engine.stores.proxy import proxy_to

POLICY = {"db": Retention(days=3, minimum=1)}


def test_a_week_in_a_bucket(moto: S3Bucket) -> None:
    with proxy_to(moto.server.url) as proxy:
        store = moto.store(endpoint_url=proxy.url)
        backup_runs = [f"{NOW - timedelta(days=day, hours=1):%Y-%m-%d %H:%M}" for day in range(8)]
        keys = [store_set(store, a_key(backup_run, "한 글")) for backup_run in backup_runs]
        remains = a_key("2026-01-01", "app")
        write(store, remains.prefix + "app.dump.gz", b"half")

        run = verify_stored(Repository(store), NOW, byte_budget=1, source="platform")
        assert [(report.key, report.result) for report in run.reports] == [(keys[0], "passed")]

        proxy.requests.clear()
        stored = catalogue(Repository(store), "platform")
        assert len(proxy.requests) == 1
        assert [one.state for one in stored.assets[Asset("platform", "db", "한 글")]] == ["verified", *["recorded"] * 7]

        plan = plan_prune(Repository(store, retention=POLICY), "platform", NOW, sizes=True)
        proxy.requests.clear()
        report = apply_prune(Repository(store), plan)
        assert set(report.deleted) == set(keys[3:])
        assert report.bytes_freed == plan.bytes_to_free
        requested = [request for request in proxy.requests if "object-lock" not in request]
        assert len(requested) == 3, requested  # a listing; five manifests; their files

        assert sweep_incomplete(Repository(store), "platform", NOW).deleted == (remains,)
        assert {one.key for one in catalogue(Repository(store)).sets} == set(keys[:3])
        assert catalogue(Repository(store)).incomplete == ()
