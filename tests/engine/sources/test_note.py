"""A kind is a value: with one line more in the registry a new one has all that backups have."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from engine.cli import main
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey, new_set_id
from engine.repository.repository import Repository, open_repository
from engine.repository.writing import SetWriter
from engine.sources import registry
from tests.engine.sources.note import NOTEBOOK, NoteFacts

ROOMS = ("engine/repository", "engine/operations", "engine/reports", "engine/words", "engine/config", "engine/cli",
         "engine/stores", "engine/streams", "engine/hosts", "blocks", "tasks", "flows", "deployments")  # fmt: skip
"""Whoever lives here must not know which kinds there are."""
KINDS = {"cluster", "db", "note"}
RESTORES_DATABASES = {
    "engine/cli/restore.py", "engine/cli/rollback_db.py", "tasks/artifacts.py", "tasks/opening.py", "tasks/releases.py",
    "tasks/restores.py", "flows/restore_databases.py",
}  # fmt: skip
"""To restore databases is an operation of PostgreSQL's own, in a shell and in Prefect."""
OF_ONE_KIND = {"engine/cli/certificate_renew.py", "engine/cli/realm_diff.py", "tasks/certificates.py"}
"""What a kind can do beside all that every kind can: a command of its group (`SourceType.commands`), and its tasks."""
KUBERNETES = {
    "engine/config/settings.py", "engine/cli/k8s/running.py", "tasks/naming.py", "tasks/notifying.py",
    "deployments/forms.py", "deployments/plan.py",
}  # fmt: skip
"""To these a cluster is one of Kubernetes, not of databases."""
PROJECT = Path(__file__).parents[3]

Run = Callable[..., Any]


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "SOURCE_TYPES", (*registry.SOURCE_TYPES, NOTEBOOK))


@pytest.fixture
def site(_registered: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook of two notes, a store and a further one."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "greeting.txt").write_text("Hello")
    (tmp_path / "notes" / "인사.txt").write_text("안녕")
    config = tmp_path / "platform-ops.toml"
    config.write_text(f"""
[notebooks.diary]
folder = "{tmp_path}/notes"
store = "nightly"
copies = ["offsite"]

[stores.nightly]
kind = "folder"
path = "{tmp_path}/nightly"

[stores.offsite]
kind = "folder"
path = "{tmp_path}/offsite"
retention = {{ note = {{ days = 90 }} }}
""")
    monkeypatch.setenv("PLATFORM_OPS_CONFIG", str(config))
    return tmp_path


@pytest.fixture
def run(site: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str, code: int = 0) -> Any:
        assert main([*arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)["result"]

    return call


def stored(site: Path, store: str = "nightly") -> Repository:
    return open_repository(store, registry.load_settings(site / "platform-ops.toml").stores[store])


def test_it_is_backed_up_and_copied(run: Run, site: Path) -> None:
    made = run("backup")
    assert [(one["kind"], one["name"], one["facts"]) for one in made["stored"]] == [
        ("note", "greeting", {"letters": 5}),
        ("note", "인사", {"letters": 2}),
    ]
    assert made["whole"] is None
    key = made["stored"][1]["set_key"]
    assert key.startswith("diary/note/%EC%9D%B8%EC%82%AC/")
    for store in ("nightly", "offsite"):
        assert [path.name for path in sorted((site / store / key).iterdir())] == ["manifest.json", "note.txt.gz"]


def test_one_of_several_is_named_by_its_own_option(run: Run) -> None:
    assert [one["name"] for one in run("backup", "--note", "greeting")["stored"]] == ["greeting"]
    assert run("backup", "--note", "nothing", code=2) is None


def test_it_is_listed_and_shown(run: Run) -> None:
    run("backup")
    [nightly, offsite] = run("list")["stores"]
    assert sorted((one["kind"], one["name"], one["reasons"]) for one in nightly["sets"]) == [
        ("note", "greeting", ["younger than 3 days", "the one kept at least"]),
        ("note", "인사", ["younger than 3 days", "the one kept at least"]),
    ]
    assert offsite["sets"][0]["reasons"][0] == "younger than 90 days"
    shown = run("show", "newest", "--note", "인사")
    assert (shown["manifest"]["facts"], shown["manifest"]["files"][0]["role"]) == ({"letters": 2}, "text")


def test_people_are_shown_its_facts(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup"]) == 0
    assert main(["show", "newest", "--note", "greeting"]) == 0
    text = capsys.readouterr().out
    assert "note greeting" in text
    assert "letters" in text


def test_it_is_verified_and_drilled(run: Run, site: Path) -> None:
    run("backup")
    assert [one["result"] for one in run("verify", "--note", "greeting", "--store", "nightly")["sets"]] == ["passed"]
    drilled = run("drill", "newest", "--note", "greeting")
    assert (drilled["result"], drilled["sentence"]) == ("passed", "1 note and 5 letters came back equal")
    states = {one.key.name: one.state for one in catalogue(stored(site), "diary").sets}
    assert states == {"greeting": "proven", "인사": "recorded"}


def test_a_damaged_and_a_wrong_one_are_red(run: Run, site: Path) -> None:
    [one, other] = run("backup")["stored"]
    (site / "nightly" / one["set_key"] / "note.txt.gz").write_bytes(b"damaged")
    assert run("verify", "--note", "greeting", "--store", "nightly", code=1)["result"] == "failed"
    assert run("drill", "newest", "--note", "greeting", code=1)["result"] == "failed"
    writer = SetWriter(stored(site), SetKey("diary", "note", "인사", new_set_id(datetime.now(UTC), "other")))
    writer.add("note.txt", b"three", "text")
    writer.publish(NoteFacts(letters=3))
    wrong = run("drill", str(writer.key), code=1)
    assert (wrong["differences"][0]["found"], other["name"]) == ("letters=5", "인사")


def test_it_is_restored_beside_the_live_one_or_in_place_once_its_name_was_repeated(run: Run, site: Path) -> None:
    run("backup")
    note = site / "notes" / "greeting.txt"
    note.write_text("Hello again")
    [beside] = run("note", "restore", "greeting")["restored"]
    assert re.fullmatch(r"greeting-restored-[0-9]{8}T[0-9]{6}Z", beside["name"])
    assert (site / "notes" / f"{beside['name']}.txt").read_text() == "Hello"
    assert [one["replaces"] for one in run("note", "restore", "--all", "--in-place", "--dry-run")["plan"]] == [True] * 2
    for wrong in ([], ["--confirm", "another"]):
        assert run("note", "restore", "greeting", "--in-place", *wrong, code=2) is None
    assert run("note", "restore", code=2) is None  # there are two
    assert run("note", "restore", "greeting", "--as", "인사", code=2) is None  # taken, and not in place
    assert note.read_text() == "Hello again"
    [there] = run("note", "restore", "greeting", "--in-place", "--confirm", "greeting")["restored"]
    assert (there["name"], there["kept"], note.read_text()) == ("greeting", "greeting-before", "Hello")
    assert (site / "notes" / "greeting-before.txt").read_text() == "Hello again"


def test_a_damaged_set_is_not_restored_and_does_not_keep_others_from_it(run: Run, site: Path) -> None:
    [one, _] = run("backup")["stored"]
    (site / "nightly" / one["set_key"] / "note.txt.gz").write_bytes(b"damaged")
    for path in (site / "notes").iterdir():
        path.unlink()
    made = run("note", "restore", "--all", "--in-place", code=1)
    assert [one["name"] for one in made["restored"]] == ["인사"]
    assert [one["name"] for one in made["failed"]] == ["greeting"]
    assert not (site / "notes" / "greeting.txt").exists()


def test_its_own_retention_lets_it_go(run: Run, site: Path) -> None:
    repository, now = stored(site), datetime.now(UTC)
    for days in (5, 4, 2):
        writer = SetWriter(repository, SetKey("diary", "note", "greeting", new_set_id(now - timedelta(days), "old")))
        writer.add("note.txt", b"Hello", "text")
        writer.publish(NoteFacts(letters=5))
    [place] = run("prune", "--delete", "--store", "nightly")["places"]
    assert [key.split("/")[3][:8] for key in place["done"]["deleted"]] == [
        f"{now - timedelta(days):%Y%m%d}" for days in (4, 5)
    ]


def test_its_own_age_is_checked(run: Run, site: Path) -> None:
    [never] = [one for one in run("check", code=1)["assets"] if (one["store"], one["what"]) == ("nightly", "recorded")]
    assert (never["kind"], never["last"], never["max_hours"]) == ("note", None, 5)
    run("backup")
    found = run("check", code=1)["assets"]
    assert {(one["name"], one["what"], one["fresh"]) for one in found if one["store"] == "nightly"} == {
        (name, what, what == "recorded") for name in ("greeting", "인사") for what in ("recorded", "verified", "proven")
    }


@pytest.mark.xdist_group("flows")
def test_prefect_has_all_of_it_too(site: Path, prefect_server: str) -> None:
    from deployments.apply import apply
    from deployments.automations import wanted
    from flows.check_backups import check_backups
    from flows.nightly_backup import nightly_backup
    from flows.prune_backups import prune_backups
    from flows.restore_drill import restore_drill
    from flows.verify_backups import verify_backups

    lines: list[str] = []
    settings = registry.load_settings(site / "platform-ops.toml")
    apply(settings, report=lines.append)
    assert "+ notebook/diary" in lines
    with get_client(sync_client=True) as client:
        forms = {
            one.name: (one.parameter_openapi_schema or {})["properties"] for one in client.read_deployments(limit=50)
        }
    for name in ("nightly-backup", "restore-drill", "check-backups", "prune-backups"):
        assert forms[name]["source"]["enum"] == ["diary"]
    assert forms["restore-drill"]["what"]["enum"] == ["", "note/greeting", "note/인사"]
    alarms = [one.name for one in wanted(uuid4(), settings.sources) if "diary" in one.name]
    assert alarms == [f"platform-ops: no note of diary {shown} for 5 hours" for shown in ("verified", "proven")]
    nightly_backup("diary")
    restore_drill("diary", what="note/greeting")
    both = restore_drill("diary", return_state=True)  # what nobody named is each of them
    assert both.message == "2 sets restored and equal."
    verify_backups("nightly")
    verify_backups("offsite")
    check_backups("diary")
    prune_backups("diary")
    restored_from_a_form(site)
    assert {one.state for one in catalogue(stored(site), "diary").sets} == {"proven"}


def restored_from_a_form(site: Path) -> None:
    """A kind's own flow is these tasks: nothing is done before each live name was repeated."""
    from tasks.restoring import RestoringRecord, plan_restoring, restore_confirmed

    @flow(name="restore-notes")
    def restore_notes(notes: tuple[str, ...], confirm: tuple[str, ...]) -> State[Any]:
        with RestoringRecord("diary") as record:
            plan_restoring(record, "", notes, False, "newest", "", True)
            restore_confirmed(record, confirm)
        return record.completed()

    assert restore_notes(("greeting",), (), return_state=True).is_failed()
    assert not (site / "notes" / "greeting-before.txt").exists()
    done = restore_notes(("greeting",), ("greeting",), return_state=True)
    assert done.is_completed() and str(done.message).startswith("1 note restored as 'greeting', each equal")
    assert (site / "notes" / "greeting-before.txt").exists()


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_knows_a_kind(room: str) -> None:
    files = sorted((PROJECT / room).rglob("*.py"))
    assert files
    for path in files:
        name, tree = str(path.relative_to(PROJECT)), ast.parse(path.read_text())
        output = {one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
        assert (name, output & (KINDS - {"cluster"} if name in KUBERNETES else KINDS)) == (name, set())
        imported = {one.module or "" for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)}
        kinds = {module for module in imported if module.startswith("engine.sources.") and module.count(".") > 2}
        assert (name, kinds if name not in RESTORES_DATABASES | OF_ONE_KIND else set()) == (name, set())
