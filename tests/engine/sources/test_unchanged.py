"""What is as it was stores nothing, and is not overdue for that: of a notebook that looks before it stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.config.settings import Retention
from engine.operations.check import check_source
from engine.progress import Progress
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey, new_set_id
from engine.repository.manifest import read_manifest
from engine.repository.prune_plan import plan_prune
from engine.repository.repository import Repository, open_repository
from engine.repository.unchanged import last_seen, record_unchanged
from engine.repository.verdict_keys import VerdictKey
from engine.repository.verdicts import expired
from engine.repository.writing import SetWriter
from engine.sources import registry
from engine.sources.item import Item, Run, Unchanged
from tests.engine.sources.note import NOTE, NOTEBOOK, Notebook, NoteFacts

Call = Callable[..., Any]
FOREVER = replace(NOTE, retention=Retention(days=36500))


class Looking(Notebook):
    """It says the letters that it saw."""

    def backup(self, item: Item, run: Run, out: SetWriter, progress: Progress) -> NoteFacts | Unchanged:  # type: ignore[override]
        facts = super().backup(item, run, out, progress)
        newest = catalogue(out.repository, self.name).newest(out.key.asset)
        same = newest is not None and NOTE.facts_of(read_manifest(out.repository, newest.key)) == facts
        return Unchanged(newest.key, {"letters": facts.letters}) if newest and same else facts


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kind = replace(NOTEBOOK, kinds=(FOREVER,), open=Looking)
    monkeypatch.setattr(registry, "SOURCE_TYPES", (*registry.SOURCE_TYPES, kind))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "greeting.txt").write_text("Hello")
    config = tmp_path / "platform-ops.toml"
    stores = "".join(
        f'[stores.{name}]\nkind = "folder"\npath = "{tmp_path}/{name}"\n' for name in ("nightly", "offsite")
    )
    config.write_text(
        f'[notebooks.diary]\nfolder = "{tmp_path}/notes"\nstore = "nightly"\ncopies = ["offsite"]\n'
        f'exclude = ["gone"]\n{stores}'
    )
    monkeypatch.setenv("PLATFORM_OPS_CONFIG", str(config))
    return tmp_path


@pytest.fixture
def run(site: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: str, code: int = 0) -> Any:
        assert main([*arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)["result"]

    return call


def nightly(site: Path) -> Repository:
    return open_repository("nightly", registry.load_settings(site / "platform-ops.toml").stores["nightly"])


def test_what_is_as_it_was_stores_nothing_and_says_so(
    run: Call, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [first] = run("backup")["stored"]
    again = run("backup")
    assert again["stored"] == [] and again["unchanged"] == [
        {"kind": "note", "name": "greeting", "set_key": first["set_key"]}
    ]
    assert len(list((site / "nightly" / "diary" / "note" / "greeting").iterdir())) == 1
    assert main(["backup"]) == 0
    assert "1 note unchanged" in capsys.readouterr().out
    (site / "notes" / "greeting.txt").write_text("Hello again")
    assert len(run("backup")["stored"]) == 1


def test_a_look_that_found_it_as_it_was_counts_as_a_set(run: Call, site: Path) -> None:
    repository, now = nightly(site), datetime.now(UTC)
    writer = SetWriter(repository, SetKey("diary", "note", "greeting", new_set_id(now - timedelta(days=30), "old")))
    writer.add("note.txt", b"Hello", "text")
    writer.publish(NoteFacts(letters=5))
    settings = registry.load_settings(site / "platform-ops.toml")

    def recorded() -> dict[str, bool]:
        found = check_source(
            "diary", settings.source("diary"), lambda name: open_repository(name, settings.store(name)), now
        )
        return {one.store: one.fresh for one in found if one.word == "recorded"}

    assert recorded()["nightly"] is False
    assert plan_prune(repository, "diary", now).doubt is not None  # nobody knows whether backups have stopped
    assert run("backup")["unchanged"]
    assert recorded() == {"nightly": True, "offsite": True}  # the copy has the same set
    for days in (6, 12, 18, 24):
        record_unchanged(repository, writer.key, now - timedelta(days), {"letters": days})
    assert plan_prune(repository, "diary", now).doubt is None


def test_what_the_configuration_excludes_is_not_waited_for(run: Call, site: Path) -> None:
    writer = SetWriter(nightly(site), SetKey("diary", "note", "gone", new_set_id(datetime.now(UTC), "old")))
    writer.add("note.txt", b"Hello", "text")
    writer.publish(NoteFacts(letters=5))
    assert {one["name"] for one in run("check", code=1)["assets"]} == {""}


def test_the_same_look_is_written_down_once_an_hour_and_kept_for_two_weeks(run: Call, site: Path) -> None:
    run("backup")
    repository = nightly(site)
    [one] = catalogue(repository, "diary").sets
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    for at, seen in ((0, 1), (15, 1), (30, 2), (95, 2)):  # minutes, what was seen
        record_unchanged(repository, one.key, now + timedelta(minutes=at), {"letters": seen})
    found = [verdict for verdict in catalogue(repository, "diary").verdicts if verdict.check == "source"]
    assert [round((verdict.at - now).total_seconds() / 60) for verdict in found] == [0, 30, 95]
    last = last_seen(repository, one.key, now + timedelta(hours=2))
    assert last is not None and last[1] == {"letters": 2}
    later = now + timedelta(days=16)
    assert [verdict.at for verdict in expired(found, [one.key], later)] == [found[0].at, found[1].at]
    drill = VerdictKey(one.key, now, "drill", "passed")
    assert expired([drill], [one.key], later) == ()


def test_a_look_of_a_wrong_clock_counts_for_nothing_nor_one_that_is_damaged(run: Call, site: Path) -> None:
    run("backup")
    repository, now = nightly(site), datetime.now(UTC)
    [one] = catalogue(repository, "diary").sets
    record_unchanged(repository, one.key, now + timedelta(days=365), {"letters": 7})
    assert last_seen(repository, one.key, now) is None
    record_unchanged(repository, one.key, now, {"letters": 5})
    found = last_seen(repository, one.key, now)
    assert found is not None and found[1] == {"letters": 5}
    (site / "nightly" / str(found[0])).write_text("[")
    damaged = last_seen(repository, one.key, now)
    assert damaged is not None and damaged[1] == {}
    record_unchanged(repository, one.key, now + timedelta(seconds=2), {"letters": 5})
    again = last_seen(repository, one.key, now + timedelta(seconds=9))
    assert again is not None and again[1] == {"letters": 5}
    ahead = one._replace(
        key=one.key._replace(set_id=new_set_id(now + timedelta(days=365), "ahead")), created=now + timedelta(365)
    )
    stored = replace(catalogue(repository, "diary"), sets=(one, ahead))
    assert stored.newest(one.key.asset) == ahead and stored.newest(one.key.asset, now=now) == one
