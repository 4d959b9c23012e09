"""A whole backup over an S3 server that misbehaves."""

from __future__ import annotations

from engine.sources.postgres.scratch.instance import Instance
from tests.engine.stores.proxy import Fault
from tests.faults.gates import Gated
from tests.faults.site import sentences
from tests.faults.test_killed import gated  # noqa: F401 - a fixture

MOMENTS: list[tuple[str, str, Fault]] = [
    ("PUT", ".dump.gz", "reset"),
    ("PUT", ".sql.gz", "500"),
    ("PUT", "manifest.json", "lose-answer"),
    ("GET", "list-type", "500"),
]


def test_faults_of_the_moment_are_not_noticed(gated: Gated, fault_server: Instance) -> None:  # noqa: F811
    rules = [gated.proxy.inject(method, part, fault, 1) for method, part, fault in MOMENTS]
    answer = gated.site.run("backup")
    assert (answer.code, sentences(answer)) == (0, []), answer.stderr
    assert [rule.injected for rule in rules] == [1, 1, 1, 1]
    assert gated.assert_whole(gated.first) == 2


def test_a_lasting_fault_stores_nothing(gated: Gated, fault_server: Instance) -> None:  # noqa: F811
    rule = gated.proxy.inject("PUT", ".sql.gz", "refuse")
    answer = gated.site.run("backup", timeout=120)
    assert (answer.code, len(sentences(answer))) == (1, 1), answer.stderr
    assert gated.files(gated.first) == []
    gated.proxy.rules.remove(rule)
    assert gated.site.run("backup").code == 0


def test_a_second_store_that_is_down_spoils_nothing(gated: Gated, fault_server: Instance) -> None:  # noqa: F811
    gated.site.write({}, {})
    gated.proxy.inject("PUT", f"/{gated.second.name}/", "reset")
    answer = gated.site.run("backup", timeout=120)
    assert (answer.code, len(sentences(answer))) == (5, 1), answer.stderr
    assert "The backup is in the first store, nightly; the copy to offsite is missing 2 sets" in answer.problem
    assert (gated.assert_whole(gated.first), gated.files(gated.second)) == (2, [])
    gated.proxy.rules.clear()
    assert gated.site.run("backup").code == 0
    assert gated.assert_whole(gated.second) == 4
