"""check: exit code 1 until a source was recorded, verified and proven; for a monitor to call."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.repository.keys import SetKey, new_set_id
from engine.stores.folder import FolderStore
from tests.engine.cli.site import Site
from tests.engine.repository.made import judge, store_set


def test_check_is_red_until_all_three_words_are_true(empty_site: Site) -> None:
    answer = empty_site.run("check")
    assert answer.code == 1
    assert answer.problem.startswith(
        "platformctl: Cluster of platform in nightly was never recorded, was never verified, was never proven, where 26 h"
    )
    assert "OVERDUE" in answer.stdout

    now = datetime.now(UTC)
    store = FolderStore("nightly", empty_site.store)
    key = store_set(store, SetKey("platform", "cluster", "", new_set_id(now)))
    for kind in ("verify", "drill"):
        judge(store, key, kind, "passed", f"{now:%Y-%m-%d %H:%M}")
    answer = empty_site.run("check", "--json")
    assert (answer.code, answer.stderr.count("OVERDUE")) == (0, 0)
    assert [one["fresh"] for one in answer.document["result"]["assets"]] == [True, True, True]
    assert empty_site.run("check", "--max-hours", "0.000001").code == 1
