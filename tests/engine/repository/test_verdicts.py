"""What verdicts say about a set, and that none is ever replaced."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CouldNotVerify, OperationFailed
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.repository.verdict_keys import Check, VerdictKey, VerdictResult
from engine.repository.verdicts import (
    State,
    authentic,
    expired,
    newest,
    read_verdict,
    record_verdict,
    remarks,
    state_of,
)
from engine.stores.folder import FolderStore
from tests.engine.repository.made import MemoryStore, a_key, a_verdict, parse_verdict_key, when

KEY = a_key("2026-02-01")


def verdicts(*words: str) -> list[VerdictKey]:
    """`verify-passed`, `drill-failed`...: one a day, oldest first."""
    return [
        a_verdict(KEY, f"2026-02-{day:02}", *word.split("-"))  # type: ignore[arg-type]
        for day, word in enumerate(words, start=2)
    ]


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ([], "recorded"),
        (["verify-passed"], "verified"),
        (["drill-passed"], "proven"),
        (["verify-passed", "drill-passed"], "proven"),
        (["drill-passed", "verify-passed"], "proven"),
        (["verify-failed"], "failed"),
        (["drill-failed"], "failed"),
        # bytes that differ after a drill: no longer what was proven
        (["drill-passed", "verify-failed"], "failed"),
        (["drill-passed", "verify-failed", "verify-passed"], "proven"),
        # equal bytes do not save a set that does not restore; a drill reads all bytes, so a bad reading before it was one
        (["drill-failed", "verify-passed"], "failed"),
        (["verify-failed", "drill-passed"], "proven"),
        (["verify-failed", "drill-sampled"], "failed"),
        (["verify-failed", "verify-passed"], "verified"),
        (["drill-failed", "drill-passed"], "proven"),
        (["drill-passed", "drill-failed"], "failed"),
        # what showed nothing changes nothing
        (["drill-sampled"], "recorded"),
        (["drill-passed", "drill-sampled"], "proven"),
        (["drill-failed", "drill-sampled"], "failed"),
        (["drill-unverified", "verify-unverified"], "recorded"),
        (["drill-passed", "drill-unverified"], "proven"),
        # what passed, of a set that says itself what it lacks, is proven; the listing says the rest
        (["drill-incomplete"], "proven"),
        (["drill-failed", "drill-incomplete"], "proven"),
        (["drill-incomplete", "drill-failed"], "failed"),
        (["drill-failed", "drill-unverified"], "failed"),
        (["verify-failed", "verify-unverified"], "failed"),
        (["verify-passed", "drill-sampled"], "verified"),
    ],
)
def test_the_state_of_a_set(words: list[str], state: State) -> None:
    found = verdicts(*words)
    assert state_of(found) == state
    assert state_of(reversed(found)) == state


@pytest.mark.parametrize(
    ("words", "remark"),
    [
        (["drill-passed"], None),
        (["drill-sampled"], "sampled"),
        (["verify-passed", "drill-incomplete", "drill-unverified"], "incomplete"),
        (["drill-incomplete", "drill-failed"], None),
        (["drill-failed", "drill-sampled"], "sampled"),
    ],
)
def test_what_a_state_does_not_say_is_remarked(words: list[str], remark: str | None) -> None:
    assert remarks(verdicts(*words)).get(KEY) == remark


def test_failed_wins_within_a_second() -> None:
    both = [
        a_verdict(KEY, "2026-02-02", "drill", "failed"),
        a_verdict(KEY, "2026-02-02", "drill", "passed"),
    ]
    assert state_of(both) == state_of(both[::-1]) == "failed"


def test_the_newest_of_a_kind_is_whatever_it_said() -> None:
    found = verdicts("drill-passed", "verify-passed", "drill-unverified", "verify-failed")
    assert newest(found, "drill") == found[2]
    assert newest(found, "verify") == found[3]
    assert newest(found[:1], "verify") is None


CHECKS: list[Check] = ["verify", "drill"]
RESULTS: list[VerdictResult] = ["passed", "failed", "unverified", "sampled", "incomplete"]
words = st.lists(st.tuples(st.sampled_from(CHECKS), st.sampled_from(RESULTS), st.integers(0, 300)), max_size=12)


@given(words)
def test_old_verdicts_may_go_without_changing_a_state(made: list[tuple[Check, VerdictResult, int]]) -> None:
    now = when("2026-12-31")
    all_of_it = [VerdictKey(KEY, now - timedelta(days=ago), check, result) for check, result, ago in made]
    gone = expired(all_of_it, [KEY], now)
    assert state_of([verdict for verdict in all_of_it if verdict not in gone]) == state_of(all_of_it)
    assert all((now - verdict.at).days > 90 for verdict in gone)


def test_verdicts_stay_for_90_days_after_their_set() -> None:
    old, young = (
        a_verdict(KEY, "2026-02-01", "drill", "passed"),
        a_verdict(KEY, "2026-03-01", "drill", "passed"),
    )
    assert expired([old, young], [], when("2026-05-02")) == ()
    assert expired([old, young], [], when("2026-05-03")) == (old,)
    assert expired([old, young], [KEY], when("2026-05-03")) == (old,)
    assert expired([old], [KEY], when("2027-01-01")) == ()


def test_a_set_that_lives_keeps_no_verdicts_of_others_with_its_id() -> None:
    a, b = a_key("2026-02-01", "a"), a_key("2026-02-01", "b")
    of_a, of_b = (a_verdict(key, "2026-02-01", "drill", "passed") for key in (a, b))
    assert expired([of_a, of_b], [a], when("2027-01-01")) == (of_b,)


def test_what_is_remarked_of_a_set_is_not_of_others_with_its_id() -> None:
    a, b = a_key("2026-02-01", "a"), a_key("2026-02-01", "b")
    found = [a_verdict(a, "2026-02-02", "drill", "incomplete"), a_verdict(b, "2026-02-03", "drill", "passed")]
    assert remarks(found) == {a: "incomplete"}


def test_a_verdict_is_written_once_with_what_was_found(tmp_path: Path) -> None:
    store = FolderStore("local", tmp_path)
    key = a_verdict(KEY, "2026-02-02 19:00", "drill", "passed")
    written = record_verdict(Repository(store), key, {"rto_seconds": 12.5, "at": "somebody's", "tables": ["한글"]})
    assert str(written) == "platform/verdicts/cluster/20260201T000000Z-abcd1234.20260202T190000Z-drill-passed.json"
    assert read_verdict(Repository(store), written) == {
        "schema": 1,
        "set": "platform/cluster/20260201T000000Z-abcd1234",
        "check": "drill",
        "result": "passed",
        "at": "2026-02-02T19:00:00+00:00",
        "product_version": "0.1.0",
        "rto_seconds": 12.5,
        "tables": ["한글"],
    }


def test_a_second_verdict_of_the_same_second_replaces_nothing(tmp_path: Path) -> None:
    store = FolderStore("local", tmp_path)
    key = a_verdict(KEY, "2026-02-02 19:00", "verify", "passed")
    first = record_verdict(Repository(store), key, {"run": 1})
    again = record_verdict(Repository(store), key, {"run": 1})  # a retry whose first answer was lost
    second = record_verdict(Repository(store), key, {"run": 2})
    assert first == again == key
    assert second.at == when("2026-02-02 19:00").replace(second=1)
    assert [read_verdict(Repository(store), one)["run"] for one in (first, second)] == [1, 2]


def test_damaged_and_newer_verdicts_say_so() -> None:
    store = MemoryStore()
    key = a_verdict(KEY, "2026-02-02", "verify", "passed")
    for data in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000):
        store.objects[str(key)] = data
        with pytest.raises(OperationFailed, match="is damaged; verify or drill the set again"):
            read_verdict(Repository(store), key)
    store.objects[str(key)] = b'{"schema": 2}'
    with pytest.raises(CouldNotVerify, match="has schema 2; this version reads 1"):
        read_verdict(Repository(store), key)


# With a digest key ---------------------------------------------------------------------------------


def test_a_verdict_counts_only_with_the_tag_of_the_key(tmp_path: Path) -> None:
    store = FolderStore("nightly", tmp_path)
    plain = a_verdict(KEY, "2026-02-02", "drill", "passed")
    with_key = Repository(store, digest_key="secret")
    ours = record_verdict(with_key, a_verdict(KEY, "2026-02-03", "verify", "passed"), {})
    assert parse_verdict_key(str(ours)) == ours
    assert read_verdict(Repository(store), ours)["result"] == "passed"
    assert str(ours).endswith(f"-verify-passed-{ours.tag}.json")
    all_of_them = (plain, ours, *forged(ours))
    assert authentic(with_key, all_of_them) == (ours,)
    assert authentic(Repository(store, digest_key="another"), all_of_them) == ()
    assert authentic(Repository(store), all_of_them) == all_of_them


def forged(ours: VerdictKey) -> list[VerdictKey]:
    """What somebody without the key can make of a sealed verdict: every part but the tag is another."""
    return [
        ours._replace(tag=""),
        ours._replace(tag="0" * 16),
        ours._replace(result="failed"),
        ours._replace(check="drill"),
        ours._replace(at=ours.at + timedelta(seconds=1)),
        ours._replace(set=KEY._replace(source="other")),
        ours._replace(set=KEY._replace(set_id=a_key("2026-02-04").set_id)),
        ours._replace(set=SetKey("platform", "volume", "", KEY.set_id)),
        ours._replace(set=SetKey("platform", "db", "app", KEY.set_id)),
    ]
