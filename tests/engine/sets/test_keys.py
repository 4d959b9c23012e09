"""Keys: each name has one spelling, each spelling one meaning, and nothing leaves its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.sets.keys import (
    SetKey,
    VerdictKey,
    encoded,
    new_set_id,
    parse_set,
    parse_set_key,
    parse_verdict_key,
    server_prefix,
    set_time,
)
from engine.stores.base import checked_key

ID = "20260207T170000Z-3f9a1c0b2d"
# What PostgreSQL allows: up to 63 bytes of anything but NUL, and never surrogates.
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=63).filter(
    lambda name: len(name.encode()) <= 63
)


@pytest.mark.parametrize(
    ("database", "segment"),
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
    ],
)
def test_a_database_name_is_one_plain_segment(database: str, segment: str) -> None:
    assert encoded(database) == segment


@given(names)
def test_any_database_name_comes_back_from_its_key(database: str) -> None:
    key = SetKey("platform", database, ID)
    assert checked_key(key.manifest) == key.manifest
    assert parse_set_key(key.manifest) == (key, "manifest.json")
    assert parse_set(str(key)) == key


@given(names, names)
def test_two_databases_never_share_a_place(one: str, other: str) -> None:
    places = {SetKey("platform", one, ID).prefix, SetKey("platform", other, ID).prefix}
    assert len(places) == len({one, other})


@pytest.mark.parametrize("database", ["", "\ud800", "a\udcffb"])
def test_a_name_that_is_no_text_is_refused(database: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a backup"):
        encoded(database)


def test_the_two_places_of_sets() -> None:
    assert SetKey("platform", None, ID).prefix == f"platform/cluster/{ID}/"
    assert str(SetKey("platform", "a b", ID)) == f"platform/db/a%20b/{ID}"
    assert SetKey("platform", "cluster", ID).scope == "database"


@pytest.mark.parametrize(
    "server",
    ["", ".", "..", "../x", "/etc", "a/b", "A", "a b", "-a", "a-", "verdicts", "a\n", "\uff41", "a" * 64],
)
def test_a_hostile_server_name_reaches_no_store(server: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a server's name"):
        server_prefix(server)
    with pytest.raises(ConfigurationError, match="is not a server's name"):
        _ = SetKey(server, "app", ID).manifest
    with pytest.raises(ConfigurationError, match="is not a server's name"):
        str(VerdictKey(server, ID, datetime(2026, 2, 8, tzinfo=UTC), "drill", "passed"))
    assert parse_set_key(f"{server}/cluster/{ID}/manifest.json") is None
    assert parse_verdict_key(f"{server}/verdicts/{ID}/20260208T190000Z-drill-passed.json") is None


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
        _ = SetKey("platform", None, set_id).prefix
    assert parse_set_key(f"platform/cluster/{set_id}/manifest.json") is None
    assert parse_verdict_key(f"platform/verdicts/{set_id}/20260208T190000Z-drill-passed.json") is None


@pytest.mark.parametrize(
    "key",
    [
        f"platform/cluster/{ID}",
        f"platform/cluster/{ID}/",
        f"platform/cluster/{ID}/..",
        f"platform/cluster/{ID}/.hidden",
        f"platform/cluster/{ID}/a b",
        f"platform/cluster/{ID}/sub/file",
        f"platform/other/{ID}/manifest.json",
        f"platform/db/{ID}/manifest.json",
        f"platform/db//{ID}/manifest.json",
        f"platform/db/%2e./{ID}/manifest.json",
        f"platform/db/../{ID}/manifest.json",
        f"platform/db/%61pp/{ID}/manifest.json",
        f"platform/db/%FF/{ID}/manifest.json",
        f"x/platform/cluster/{ID}/manifest.json",
    ],
)
def test_other_keys_belong_to_no_set(key: str) -> None:
    assert parse_set_key(key) is None


@pytest.mark.parametrize(
    "text", ["", "newest", ID, f"platform/db/{ID}", f"platform/cluster/{ID}/manifest.json"]
)
def test_other_words_are_no_set(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the key of a set"):
        parse_set(text)


@given(st.text(max_size=80))
def test_no_key_makes_the_parsers_fail(text: str) -> None:
    for key in (text, f"platform/cluster/{text}/f", f"platform/db/{text}", f"platform/verdicts/{ID}/{text}"):
        parsed = parse_set_key(key)
        assert parsed is None or parsed[0].prefix + parsed[1] == key
        verdict = parse_verdict_key(key)
        assert verdict is None or str(verdict) == key


WORDS = [(kind, result) for kind in ("verify", "drill") for result in ("passed", "failed", "unverified")]
WORDS += [("drill", "sampled"), ("drill", "incomplete")]


@given(
    st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.timezones()),  # noqa: DTZ001
    st.sampled_from(WORDS),
)
def test_a_verdict_comes_back_from_its_key(at: datetime, words: tuple[str, str]) -> None:
    kind, result = words
    verdict = VerdictKey("platform", ID, at, kind, result)  # type: ignore[arg-type]
    found = parse_verdict_key(str(verdict))
    assert found is not None
    assert found.at == at.astimezone(UTC).replace(microsecond=0)
    assert (found.kind, found.result, found.set_id, found.tag) == (kind, result, ID, "")
    sealed = verdict.sealed("a key")
    assert parse_verdict_key(str(sealed)) == found.sealed("a key") == found._replace(tag=sealed.tag)
    assert len(sealed.tag) == 16
    assert sealed.sealed(None).tag == ""


def test_times_in_keys_are_utc() -> None:
    seoul = datetime(2026, 2, 8, 2, 0, tzinfo=timezone(timedelta(hours=9)))
    assert new_set_id(seoul, "platform", "app").startswith("20260207T170000Z-")
    verdict = VerdictKey("platform", ID, seoul, "drill", "passed")
    assert str(verdict) == f"platform/verdicts/{ID}/20260207T170000Z-drill-passed.json"
    assert set_time(ID) == datetime(2026, 2, 7, 17, 0, tzinfo=UTC)


def test_a_retry_gets_the_same_id_and_another_database_another() -> None:
    at = datetime(2026, 2, 7, 17, tzinfo=UTC)
    assert new_set_id(at, "platform", "app") == new_set_id(at, "platform", "app")
    assert new_set_id(at, "platform", "app") != new_set_id(at, "platform", "app-test")
    assert parse_set(f"platform/cluster/{new_set_id(at, 'platform')}").created == at
