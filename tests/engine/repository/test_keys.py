"""Keys: each name has one spelling, each spelling one meaning, and nothing leaves its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.repository.keys import Asset, SetKey, encoded, is_kind, new_set_id, set_time, source_prefix
from engine.repository.parsing import mark_of_sets, parse_asset, parse_set, parse_set_folder, parse_set_key
from engine.repository.verdict_keys import Check, VerdictKey, VerdictResult, verdict_folder
from engine.stores.base import checked_key
from tests.engine.repository.made import parse_verdict_key

ID = "20260207T170000Z-3f9a1c0b2d"
AT = datetime(2026, 2, 8, 19, 0, tzinfo=UTC)
kinds = st.from_regex(r"[a-z][a-z0-9]{0,30}", fullmatch=True).filter(is_kind)
any_names = st.text(st.characters(codec="utf-8"))
"""Of any length and with NULs: a kind may allow more than PostgreSQL does. '' is a thing that has no name."""
# What PostgreSQL allows: up to 63 bytes of anything but NUL, and never surrogates.
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=63).filter(
    lambda name: len(name.encode()) <= 63
)


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("app", "app"),
        ("app-test", "app-test"),
        ("a/b", "a%2Fb"),
        ("..", "%2E."),
        (".", "%2E"),
        ("../../etc", "%2E.%2F..%2Fetc"),
        ('a b"c', "a%20b%22c"),
        ("--help", "--help"),
        ("100%", "100%25"),
        ("%2E", "%252E"),
        ("한글", "%ED%95%9C%EA%B8%80"),
        ("a\nb\\c", "a%0Ab%5Cc"),
        ("cluster", "cluster"),
        ("verdicts", "verdicts"),
        ("manifest.json", "manifest.json"),
        # a set's id is none of a name's spellings
        ("20260207T170000Z-3f9a1c0b2d", "%320260207T170000Z-3f9a1c0b2d"),
        ("20269999T170000Z-abcd", "%320269999T170000Z-abcd"),
        ("20260207T170000Z-abc", "20260207T170000Z-abc"),
        ("20260207T170000Z-ABCD", "20260207T170000Z-ABCD"),
        ("20260207T170000Z-abcd.sql", "20260207T170000Z-abcd.sql"),
    ],
)
def test_a_name_is_one_plain_segment_that_is_no_set_id(name: str, segment: str) -> None:
    assert encoded(name) == segment
    assert parse_asset(f"platform/db/{segment}") == Asset("platform", "db", name)
    assert parse_set_folder(f"platform/db/{segment}") is None


@given(kinds, any_names)
def test_any_name_comes_back_from_its_key_and_from_that_of_a_verdict(kind: str, name: str) -> None:
    key = SetKey("platform", kind, name, ID)
    assert parse_set_key(key.manifest) == (key, "manifest.json")
    assert parse_set(str(key)) == parse_set_folder(str(key)) == key
    assert parse_asset(str(key).removesuffix(f"/{ID}")) == key.asset
    assert mark_of_sets(str(key)) == "manifest.json"
    verdict = VerdictKey(key, AT, "drill", "incomplete")
    assert parse_verdict_key(str(verdict)) == verdict
    assert parse_verdict_key(str(verdict.tagged("a key"))) == verdict.tagged("a key")
    assert parse_set_key(str(verdict)) is None
    assert parse_verdict_key(key.manifest) is None


@given(kinds, any_names, kinds, any_names)
def test_two_things_never_share_a_place_nor_a_verdict(one: str, name: str, other: str, another: str) -> None:
    keys = {SetKey("platform", one, name, ID), SetKey("platform", other, another, ID)}
    assert len({key.prefix for key in keys}) == len(keys)
    assert len({str(VerdictKey(key, AT, "verify", "failed")) for key in keys}) == len(keys)
    assert len({VerdictKey(key, AT, "verify", "failed").tagged("a key").tag for key in keys}) == len(keys)


def test_a_name_longer_than_a_file_system_allows_reaches_no_store() -> None:
    assert checked_key(SetKey("platform", "db", "a" * 255, ID).manifest)
    with pytest.raises(ConfigurationError, match="is not a key of a store"):
        checked_key(SetKey("platform", "db", "a" * 256, ID).manifest)


@given(names)
def test_any_database_name_comes_back_from_its_key(database: str) -> None:
    key = SetKey("platform", "db", database, ID)
    assert checked_key(key.manifest) == key.manifest
    assert parse_set_key(key.manifest) == (key, "manifest.json")
    assert parse_set(str(key)) == key


@given(names, names)
def test_two_databases_never_share_a_place(one: str, other: str) -> None:
    places = {SetKey("platform", "db", one, ID).prefix, SetKey("platform", "db", other, ID).prefix}
    assert len(places) == len({one, other})


@pytest.mark.parametrize("name", ["", "\ud800", "a\udcffb"])
def test_a_name_that_is_no_text_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a backup"):
        encoded(name)
    if name:
        with pytest.raises(ConfigurationError, match="cannot name a backup"):
            _ = SetKey("platform", "db", name, ID).prefix


def test_the_places_of_sets() -> None:
    assert SetKey("platform", "cluster", "", ID).prefix == f"platform/cluster/{ID}/"
    assert SetKey("platform", "cluster", "", ID).manifest == f"platform/cluster/{ID}/manifest.json"
    assert str(SetKey("platform", "db", "a b", ID)) == f"platform/db/a%20b/{ID}"
    assert SetKey("platform", "db", "cluster", ID).kind == "db"
    assert str(SetKey("platform", "db", "cluster", ID)) == f"platform/db/cluster/{ID}"
    assert str(SetKey("platform", "volume", "kohub_uploads", ID)) == f"platform/volume/kohub_uploads/{ID}"


def test_what_stands_between_source_and_set_is_a_kind_and_perhaps_a_name() -> None:
    assert parse_set_key(f"platform/other/{ID}/f") == (SetKey("platform", "other", "", ID), "f")
    assert parse_set_key(f"platform/db/{ID}/f") == (SetKey("platform", "db", "", ID), "f")
    assert parse_set_key(f"x/platform/cluster/{ID}/f") == (SetKey("x", "platform", "cluster", ID), "f")


def test_a_set_knows_what_it_is_of() -> None:
    assert SetKey("platform", "db", "app", ID).asset == Asset("platform", "db", "app")
    assert Asset("platform", "db", "app").set(ID) == SetKey("platform", "db", "app", ID)
    assert [Asset("platform", "db", "app").label, Asset("platform", "cluster", "").label] == ["db app", "cluster"]


def test_the_places_of_verdicts_name_their_set_wholly() -> None:
    cluster, app = SetKey("platform", "cluster", "", ID), SetKey("platform", "db", "a b", ID)
    assert str(VerdictKey(cluster, AT, "verify", "passed")) == (
        f"platform/verdicts/cluster/{ID}.20260208T190000Z-verify-passed.json"
    )
    assert str(VerdictKey(app, AT, "drill", "failed", "0123456789abcdef")) == (
        f"platform/verdicts/db/a%20b/{ID}.20260208T190000Z-drill-failed-0123456789abcdef.json"
    )


@pytest.mark.parametrize(
    "kind", ["", ".", "..", "../x", "a/b", "A", "Db", "1a", "a-b", "a_b", "db ", "db\n", "\uff41", "a" * 32]
)
def test_what_is_no_kind_reaches_no_store(kind: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a kind of sets"):
        _ = SetKey("platform", kind, "app", ID).manifest
    with pytest.raises(ConfigurationError, match="is not a kind of sets"):
        str(VerdictKey(SetKey("platform", kind, "", ID), AT, "drill", "passed"))
    found = parse_set_key(f"platform/{kind}/{ID}/manifest.json")
    verdict = parse_verdict_key(f"platform/verdicts/{kind}/{ID}.20260208T190000Z-drill-passed.json")
    assert (found and found[0].asset, verdict and verdict.set.asset) == (
        (Asset("platform", "a", "b"),) * 2 if kind == "a/b" else (None, None)  # which is another's whole place
    )


@pytest.mark.parametrize("kind", ["verdicts", "leases"])
def test_a_source_s_other_folders_are_no_kinds(kind: str) -> None:
    assert not is_kind(kind)
    with pytest.raises(ConfigurationError, match="is not a kind of sets"):
        _ = SetKey("platform", kind, "", ID).prefix
    assert parse_set_key(f"platform/{kind}/{ID}/manifest.json") is None
    assert parse_set_key(f"platform/{kind}/app/{ID}/manifest.json") is None
    assert mark_of_sets(f"platform/{kind}/{ID}") is None
    assert mark_of_sets(f"platform/{kind}/app/{ID}") is None
    assert verdict_folder(f"platform/verdicts/{kind}") is None
    assert parse_verdict_key(f"platform/verdicts/{kind}/app/{ID}.20260208T190000Z-drill-passed.json") is None


@pytest.mark.parametrize("source", ["verdicts", "leases", "cluster", "db"])
def test_a_source_may_be_called_as_one_of_these_folders(source: str) -> None:
    key = SetKey(source, "db", "app", ID)
    verdict = VerdictKey(key, AT, "verify", "passed")
    assert parse_set_key(f"{source}/db/app/{ID}/manifest.json") == (key, "manifest.json")
    assert parse_verdict_key(f"{source}/verdicts/db/app/{ID}.20260208T190000Z-verify-passed.json") == verdict


@pytest.mark.parametrize(
    ("folder", "mark"),
    [
        (f"platform/cluster/{ID}", "manifest.json"),
        (f"platform/db/app/{ID}", "manifest.json"),
        ("platform/db/app", None),
        ("platform/db", None),
        ("platform", None),
        ("", None),
        (ID, None),
        (f"platform/{ID}", None),
        (f"platform/db/app/more/{ID}", None),
        (f"platform/db/{ID}/{ID}", None),  # a name that looks like an id has another spelling
        (f"platform/db/%32{ID[1:]}", None),
        (f"platform/db/%32{ID[1:]}/{ID}", "manifest.json"),
        (f"platform/verdicts/db/app/{ID}", None),
    ],
)
def test_a_manifest_is_looked_for_only_where_a_set_can_be(folder: str, mark: str | None) -> None:
    assert mark_of_sets(folder) == mark


@pytest.mark.parametrize(
    "source",
    ["", ".", "..", "../x", "/etc", "a/b/c", "A", "a b", "-a", "a-", "a\n", "\uff41", "a" * 64],
)
def test_a_hostile_source_name_reaches_no_store(source: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a name of a source"):
        source_prefix(source)
    with pytest.raises(ConfigurationError, match="is not a name of a source"):
        _ = SetKey(source, "db", "app", ID).manifest
    with pytest.raises(ConfigurationError, match="is not a name of a source"):
        str(VerdictKey(SetKey(source, "db", "app", ID), AT, "drill", "passed"))
    assert parse_set_key(f"{source}/cluster/{ID}/manifest.json") is None
    assert parse_verdict_key(f"{source}/verdicts/cluster/{ID}.20260208T190000Z-drill-passed.json") is None


@pytest.mark.parametrize(
    "set_id",
    [
        "",
        "..",
        "../../x",
        "20260207T170000Z",
        "20260207T170000Z-abc",
        "20260207T170000Z-ABCD",
        "20260207T170000Z-abcd\n",
        "20260207T170000-abcd",
        "20261307T170000Z-abcd",
        "20260230T170000Z-abcd",
        "20260207T240000Z-abcd",
        "20260207T170060Z-abcd",
        "00000207T170000Z-abcd",
        "2026020\u0667T170000Z-abcd",
    ],
)
def test_what_is_no_set_id_is_refused(set_id: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a set id"):
        set_time(set_id)
    with pytest.raises(ConfigurationError, match="is not a set id"):
        _ = SetKey("platform", "cluster", "", set_id).prefix
    assert parse_set_key(f"platform/cluster/{set_id}/manifest.json") is None
    assert parse_verdict_key(f"platform/verdicts/cluster/{set_id}.20260208T190000Z-drill-passed.json") is None


@pytest.mark.parametrize(
    "key",
    [
        f"platform/cluster/{ID}",
        f"platform/cluster/{ID}/",
        f"platform/cluster/{ID}/..",
        f"platform/cluster/{ID}/.hidden",
        f"platform/cluster/{ID}/a b",
        f"platform/cluster/{ID}/sub/file",
        f"platform/{ID}/manifest.json",
        f"platform/verdicts/{ID}/manifest.json",
        f"platform/leases/{ID}/manifest.json",
        f"platform/db/app/more/{ID}/manifest.json",
        f"platform/db/{ID}/{ID}/manifest.json",
        f"platform/db//{ID}/manifest.json",
        f"platform/db/%2e./{ID}/manifest.json",
        f"platform/db/../{ID}/manifest.json",
        f"platform/db/%61pp/{ID}/manifest.json",
        f"platform/db/%FF/{ID}/manifest.json",
        f"x/y/platform/cluster/{ID}/manifest.json",
        f"X/platform/cluster/{ID}/manifest.json",
    ],
)
def test_other_keys_belong_to_no_set(key: str) -> None:
    assert parse_set_key(key) is None


@pytest.mark.parametrize(
    "text", ["", "newest", ID, f"platform/{ID}", "platform/db/app", f"platform/cluster/{ID}/manifest.json"]
)
def test_other_words_are_no_set(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the key of a set"):
        parse_set(text)


@given(st.text(max_size=80))
def test_no_key_makes_the_parsers_fail(text: str) -> None:
    for key in (
        text,
        f"platform/{text}/{ID}/f",
        f"platform/cluster/{text}/f",
        f"platform/db/{text}",
        f"platform/verdicts/{text}/{ID}.20260208T190000Z-drill-passed.json",
        f"platform/verdicts/cluster/{ID}.{text}",
    ):
        assert mark_of_sets(key) in (None, "manifest.json")
        parsed = parse_set_key(key)
        assert parsed is None or parsed[0].prefix + parsed[1] == key
        verdict = parse_verdict_key(key)
        assert verdict is None or str(verdict) == key


WORDS: list[tuple[Check, VerdictResult]] = [
    *(("verify", result) for result in ("passed", "failed", "unverified")),
    *(("drill", result) for result in ("passed", "failed", "unverified", "sampled", "incomplete")),
]


@given(
    st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.timezones()),  # noqa: DTZ001
    st.sampled_from(WORDS),
)
def test_a_verdict_comes_back_from_its_key(at: datetime, words: tuple[Check, VerdictResult]) -> None:
    check, result = words
    key = SetKey("platform", "cluster", "", ID)
    verdict = VerdictKey(key, at, check, result)
    found = parse_verdict_key(str(verdict))
    assert found is not None
    assert found.at == at.astimezone(UTC).replace(microsecond=0)
    assert (found.set, found.check, found.result, found.tag) == (key, check, result, "")
    tagged = verdict.tagged("a key")
    assert parse_verdict_key(str(tagged)) == found.tagged("a key") == found._replace(tag=tagged.tag)
    assert len(tagged.tag) == 16
    assert tagged.tagged(None).tag == ""


def test_times_in_keys_are_utc() -> None:
    seoul = datetime(2026, 2, 8, 2, 0, tzinfo=timezone(timedelta(hours=9)))
    assert new_set_id(seoul, "platform", "app").startswith("20260207T170000Z-")
    verdict = VerdictKey(SetKey("platform", "cluster", "", ID), seoul, "drill", "passed")
    assert str(verdict) == f"platform/verdicts/cluster/{ID}.20260207T170000Z-drill-passed.json"
    assert set_time(ID) == datetime(2026, 2, 7, 17, 0, tzinfo=UTC)


def test_what_is_no_check_of_ours_is_no_verdict() -> None:
    start = f"platform/verdicts/db/app/{ID}.20260208T190000Z"
    assert parse_verdict_key(f"{start}-drill-passed.json")
    for key in (
        f"{start}-verify-sampled.json",
        f"{start}-verify-incomplete.json",
        f"{start}-proof-passed.json",
        f"{start}-drill-passed-0123.json",
        f"{start}-drill-passed",
        f"{start}-drill-passed.json/x",
        f"platform/verdicts/{ID}.20260208T190000Z-drill-passed.json",
        f"platform/verdicts/db/app/more/{ID}.20260208T190000Z-drill-passed.json",
        f"platform/verdicts/db/%61pp/{ID}.20260208T190000Z-drill-passed.json",
        f"platform/verdicts/db/app/{ID}.20269908T190000Z-drill-passed.json",
        "platform/verdicts/db/app/20269907T170000Z-abcd.20260208T190000Z-drill-passed.json",
    ):
        assert parse_verdict_key(key) is None, key


def test_a_retry_gets_the_same_id_and_another_database_another() -> None:
    at = datetime(2026, 2, 7, 17, tzinfo=UTC)
    assert new_set_id(at, "token", "db", "app") == new_set_id(at, "token", "db", "app")
    assert new_set_id(at, "token", "db", "app") != new_set_id(at, "token", "db", "app-test")
    assert new_set_id(at, "token", "db", "app") != new_set_id(at, "token", "volume", "app")
    assert new_set_id(at, "token", "db", "app") != new_set_id(at, "other", "db", "app")
    assert parse_set(f"platform/cluster/{new_set_id(at, 'platform')}").created == at
