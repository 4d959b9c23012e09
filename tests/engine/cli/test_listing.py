"""`list` and `prune` where there are more sets than anybody reads: what is shown, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engine.reports.listing import newest_of_each
from engine.repository.keys import SetKey, new_set_id
from engine.repository.retention import Decision
from engine.repository.stored import StoredSet
from engine.repository.verdict_keys import VerdictKey
from tests.engine.cli.site import Site

NIGHTS, DATABASES = 3, 120


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("many"))
    site.config.write_text(
        '[servers.platform]\nstore = "nightly"\n[stores.nightly]\nkind = "folder"\n'
        f'path = "{site.store}"\nretention = {{ db = {{ days = 2, minimum = 1 }} }}\n'
    )
    keys = list(_keys())
    for key in keys:
        for name in ("manifest.json", "app.dump.gz"):
            path = site.store / key.prefix / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"12345")
    newest = max(keys, key=lambda key: (key.created, key.name))
    verdict = site.store / str(VerdictKey(newest, datetime.now(UTC), "drill", "passed"))
    verdict.parent.mkdir(parents=True)
    verdict.touch()
    return site


def _keys() -> Iterator[SetKey]:
    now = datetime.now(UTC)
    for night in range(NIGHTS):
        for number in range(DATABASES):
            at = now - timedelta(days=night, hours=1)
            yield SetKey("platform", "db", f"app_{number:03}", new_set_id(at, str(number)))


def test_of_many_sets_the_newest_of_each_database_is_shown(many: Site) -> None:
    text = many.run("list").stdout
    assert text.startswith("Stored sets\n360 sets: 1 proven, 359 recorded.\n")
    assert sum(" app_" in line for line in text.splitlines()) == DATABASES
    assert "  db app_119  proven    10 B " in text
    assert "and 240 older sets: --all shows them, --database NAME those of one database" in text


def test_all_and_json_and_one_database_leave_nothing_out(many: Site) -> None:
    text = many.run("list", "--all").stdout
    assert text.startswith("Stored sets\n360 sets, 3.6 kB: 1 proven, 359 recorded.\n")
    assert sum(" app_" in line for line in text.splitlines()) == 360
    assert "older" not in text.replace("may go: older than 2 days", "")
    listed = many.run("list", "--json").document["result"]["stores"][0]["sets"]
    assert len(listed) == 360
    assert {one["bytes"] for one in listed} == {10}
    assert many.run("list", "--database", "app_007").stdout.count(" app_007 ") == 3


def test_a_name_that_has_no_set_is_said(many: Site) -> None:
    said = "There is no set of database 'app_7': `list` without --database shows the names there are."
    assert many.run("list", "--database", "app_7").stdout == f"Stored sets\n0 sets, 0 B.\n\n- {said}\n"


def test_an_empty_store_is_asked_about(empty_site: Site) -> None:
    said = f"- Nothing was ever stored at {empty_site.store}: is its path right, and is its disk mounted?\n"
    for asked in (("list",), ("list", "--database", "app_7")):
        assert empty_site.run(*asked).stdout == f"Stored sets\n0 sets, 0 B.\n\n{said}"
    of_one = empty_site.run("list", "--server", "platform").stdout
    assert f"- Nothing of platform was ever stored at {empty_site.store}: " in of_one


def test_prune_shows_all_that_goes_and_says_how_much_stays(many: Site) -> None:
    text = many.run("prune").stdout
    assert "120 sets (1.2 kB) would go, 240 sets would stay." in text
    assert sum(" app_" in line for line in text.splitlines()) == 120 + 120
    assert "and 120 older sets: platformctl list --all says why each stays" in text


@pytest.mark.parametrize(
    ("databases", "nights", "each"), [(1, 100, 100), (1, 101, 100), (3, 50, 33), (100, 2, 1), (150, 2, 1)]
)
def test_equally_many_of_each(databases: int, nights: int, each: int) -> None:
    now = datetime(2026, 2, 7, tzinfo=UTC)
    decisions = []
    for night in range(nights):
        at = now - timedelta(days=night)
        for number in range(databases):
            key = SetKey("platform", "db", f"app{number}", new_set_id(at, str(number)))
            decisions.append(Decision(StoredSet(key, at, "recorded", None, 1), True, ("young",)))
    shown = newest_of_each(decisions)
    assert len(shown) == databases * each
    assert {one.set.created for one in shown} == {now - timedelta(days=night) for night in range(each)}
    assert [one.set.created for one in shown] == sorted((one.set.created for one in shown), reverse=True)


def test_nothing_to_show() -> None:
    assert newest_of_each([]) == []
