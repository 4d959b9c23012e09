"""`list` and `prune` where there are more sets than anybody reads: what is shown, and what is said of the rest."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.operations.assets import set_meant
from engine.reports.listing import newest_of_each
from engine.repository.body import FileEntry
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey, new_set_id
from engine.repository.manifest import to_json
from engine.repository.repository import Repository
from engine.repository.retention import Decision
from engine.repository.stored import StoredSet
from engine.repository.verdict_keys import VerdictKey
from engine.stores.folder import FolderStore
from tests.engine.cli.site import Site, completed
from tests.engine.repository.made import MemoryStore, a_body, a_key, judge, store_set

RUNS, DATABASES = 3, 120


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
    for backup_run in range(RUNS):
        for number in range(DATABASES):
            at = now - timedelta(days=backup_run, hours=1)
            yield SetKey("platform", "db", f"app_{number:03}", new_set_id(at, str(number)))


def test_of_many_sets_the_newest_of_each_database_is_shown(many: Site) -> None:
    text = many.run("list").stdout
    assert text.startswith("Stored sets\n360 sets: 1 proven, 359 recorded.\n")
    assert sum(" app_" in line for line in text.splitlines()) == DATABASES
    assert "  db app_119  proven    10 B " in text
    assert "and 240 more sets: --all shows them, --database NAME those of one database" in text


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
    message = "There is no set of database 'app_7': `list` without --database shows the names there are."
    answer = many.run("list", "--database", "app_7")
    assert (answer.stdout, answer.code) == ("Stored sets\n0 sets, 0 B.\n", 2)
    assert answer.problem == f"platformctl: {message}"


@pytest.mark.parametrize(
    "requested", [("list",), ("show", "newest"), ("drill", "newest"), ("verify",), ("verify", "newest"), ("restore",)]
)
def test_a_name_that_nothing_has_is_the_same_mistake_everywhere(many: Site, requested: tuple[str, ...]) -> None:
    answer = many.run(*requested, "--database", "app_7", "--json")
    assert (answer.code, answer.document["error"]["kind"]) == (2, "ConfigurationError")


def test_names_are_shown_as_they_are_called_and_taken_however_they_are_composed(tmp_path: Path) -> None:
    """A key spells a name with `%`; people never see that, and what they see can be given back."""
    site = Site(tmp_path)
    site.config.write_text(
        f'[servers.platform]\nstore = "nightly"\n[stores.nightly]\nkind = "folder"\npath = "{site.store}"\n'
    )
    name = "운영/노트"
    key = SetKey("platform", "db", name, new_set_id(datetime.now(UTC), "1"))
    whole = SetKey("platform", "cluster", "", new_set_id(datetime.now(UTC), "2"))
    store = FolderStore("nightly", site.store)
    for one in (key, whole):
        store_set(store, one)
    for composed in (unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)):
        assert site.run("list", "--database", composed).stdout.count(key.set_id) == 1
        assert site.run("verify", "newest", "--database", composed, "--json").document["result"]["sets"][0][
            "key"
        ] == str(key)
    for given in (key.set_id, str(key), f"platform/db/{name}/{key.set_id}"):
        answer = site.run("verify", given)
        assert (name in answer.stdout, "%EC" in answer.stdout + answer.stderr) == (True, False)
        assert answer.code == 0
    refused = site.run("show", str(key))  # its manifest is a test's
    assert f"platform/db/{name}/{key.set_id}: its manifest" in refused.problem
    words = completed(site, "show", key.set_id[:12])
    assert words == {key.set_id, whole.set_id}
    assert completed(site, "drill", "newest-p") == {"newest-proven"}
    assert completed(site, "restore", "--database", "") == {name}
    assert completed(site, "restore", "--set", key.set_id) == {key.set_id}


def test_a_word_means_in_show_and_drill_what_it_means_in_a_restore(tmp_path: Path) -> None:
    """The newest proven set that holds the database: here the whole server's."""
    store = MemoryStore()
    own = store_set(store, a_key("2026-02-07", "app"))
    whole = store_set(store, a_key("2026-02-08"))
    body = a_body(whole, {})
    held = body.model_copy(update={"files": (FileEntry(name="a.sql", size=1, sha256="0" * 64, role="sql", of="app"),)})
    store.objects[whole.manifest] = to_json(Repository(store), held)
    for key in (own, whole):
        judge(store, key, "drill", "passed", "2026-02-09")

    def found(word: str) -> SetKey:
        stored = catalogue(Repository(store))
        return set_meant(Repository(store), stored, word, own.asset).key

    assert (found("newest-proven"), found("newest")) == (whole, own)
    judge(store, whole, "drill", "failed", "2026-02-10")
    assert found("newest-proven") == own


def test_an_empty_store_is_asked_about(empty_site: Site) -> None:
    message = f"- Nothing was ever stored at {empty_site.store}: is its path right, and is its disk mounted?\n"
    for requested in (("list",), ("list", "--database", "app_7")):
        assert empty_site.run(*requested).stdout == f"Stored sets\n0 sets, 0 B.\n\n{message}"
    of_one = empty_site.run("list", "--server", "platform").stdout
    assert f"- Nothing of platform was ever stored at {empty_site.store}: " in of_one


def test_prune_shows_all_that_goes_and_says_how_much_stays(many: Site) -> None:
    text = many.run("prune").stdout
    assert "120 sets (1.2 kB) would go, 240 sets would stay." in text
    assert sum(" app_" in line for line in text.splitlines()) == 120 + 120
    assert "and 120 older sets: platformctl list --all says why each stays" in text


@pytest.mark.parametrize(
    ("databases", "backup_runs", "each"), [(1, 100, 100), (1, 101, 100), (3, 50, 33), (100, 2, 1), (150, 2, 1)]
)
def test_equally_many_of_each(databases: int, backup_runs: int, each: int) -> None:
    now = datetime(2026, 2, 7, tzinfo=UTC)
    decisions = []
    for backup_run in range(backup_runs):
        at = now - timedelta(days=backup_run)
        for number in range(databases):
            key = SetKey("platform", "db", f"app{number}", new_set_id(at, str(number)))
            decisions.append(Decision(StoredSet(key, at, "recorded", None, 1), True, ("young",)))
    shown = newest_of_each(decisions)
    assert len(shown) == databases * each
    assert {one.set.created for one in shown} == {now - timedelta(days=backup_run) for backup_run in range(each)}
    assert [one.set.created for one in shown] == sorted((one.set.created for one in shown), reverse=True)


def test_nothing_to_show() -> None:
    assert newest_of_each([]) == []
