"""Realms of a real Keycloak 24 on PostgreSQL: stored, looked at, compared, proven, restored. In this order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import get_client

from engine.repository.catalogue import catalogue
from engine.sources.keycloak import export
from engine.sources.keycloak.look import look_at
from engine.sources.keycloak.source import KeycloakSource
from engine.sources.registry import load_settings, open_source
from tests.engine.sources.keycloak.pair import (
    ADMIN,
    ADMIN_PASSWORD,
    CLIENT_SECRET,
    REALM,
    USER,
    USER_PASSWORD,
    Pair,
)
from tests.engine.sources.keycloak.pair import docker as docker_text
from tests.engine.sources.keycloak.site import SOURCE, Site

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("keycloak")]

NEW_SECRET, NEW_PASSWORD = "canary-42d0-of-a-client", "canary-42d1-of-a-user"
CANARIES = (ADMIN_PASSWORD, CLIENT_SECRET, USER_PASSWORD, NEW_SECRET, NEW_PASSWORD)


@contextmanager
def logging_in(pair: Pair) -> Iterator[list[int]]:
    """Somebody logs in twice a second, and keeps a session from before alive; the codes of all answers."""
    found: list[int] = []
    stop = threading.Event()
    session = pair.token(REALM, username=USER, password=USER_PASSWORD).json()["refresh_token"]

    def work() -> None:
        while not stop.wait(0.5):
            found.append(pair.login())
            found.append(pair.token(REALM, grant_type="refresh_token", refresh_token=session).status_code)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


@contextmanager
def changing(pair: Pair, user: str) -> Iterator[None]:
    """As soon as the live realm was replaced, somebody changes his name in it."""

    def work() -> None:
        while pair.ask("GET", f"/{REALM}").get("displayName"):
            time.sleep(0.3)
        pair.ask("PUT", f"/{REALM}/users/{user}", {"firstName": "Meanwhile"})

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()


def test_realms_are_stored_whole_while_users_log_in(site: Site, pair: Pair) -> None:
    started, views, sessions = pair.started(), pair.views(), pair.admin_sessions()
    left = pair.run("ls -A /dev/shm /tmp")
    with logging_in(pair) as answers:
        made = site.back_up()
    assert set(answers) == {200} and len(answers) > 10
    assert (pair.started(), pair.views()) == (started, views)  # no restart, and no other member in its cluster
    assert [(one["kind"], one["name"]) for one in made["stored"]] == [("realm", REALM), ("realm", "master")]
    facts = made["stored"][0]["facts"]
    assert (facts["keycloak_version"], facts["things"]["user"], facts["things"]["group"]) == ("24.0.5", 2, 1)
    assert facts["things"]["flow"] == made["stored"][1]["facts"]["things"]["flow"] + 3  # browser of kohub and its parts
    assert pair.run("ls -A /dev/shm /tmp") == left and pair.marked() == []
    assert pair.admin_sessions() == sessions + 1  # the one that asks: ours was ended


def test_an_unchanged_realm_stores_nothing_and_is_not_exported(site: Site) -> None:
    before = {path for path in site.stored_files() if "/verdicts/" not in str(path) and "/leases/" not in str(path)}
    began = time.monotonic()
    made = site.back_up()
    assert made["stored"] == [] and {one["name"] for one in made["unchanged"]} == {REALM, "master"}
    assert {
        path for path in site.stored_files() if "/verdicts/" not in str(path) and "/leases/" not in str(path)
    } == before
    assert time.monotonic() - began < 12  # an export alone takes longer
    assert "2 realms unchanged" in site.text("backup")
    assert "changed user of master" in " ".join(made["remarks"])  # which keeps no events
    checked = {(one["name"], one["what"]): one["fresh"] for one in site.run("check", code=1)["assets"]}
    assert checked[REALM, "recorded"] and not checked[REALM, "proven"]


def test_prefect_runs_the_same(site: Site, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from deployments.apply import apply
    from flows.realm_export import realm_export
    from flows.restore_realm import restore_realm

    monkeypatch.setenv("PLATFORM_OPS_CONFIG", str(site.config))
    apply(load_settings(site.config), report=lambda line: None)
    with get_client(sync_client=True) as client:
        [planned] = [one for one in client.read_deployments(limit=100) if one.name == "realm-export"]
    assert [(one.parameters["source"], str(one.schedule.cron)) for one in planned.schedules] == [  # type: ignore[union-attr]
        (SOURCE, "*/15 * * * *")
    ]
    done = realm_export(SOURCE, return_state=True)
    assert done.is_completed() and "2 realms unchanged" in str(done.message)
    looked = restore_realm(SOURCE, realms=(REALM,), in_place=True, dry_run=True, return_state=True)
    assert looked.is_completed()
    refused = restore_realm(SOURCE, realms=(REALM,), in_place=True, return_state=True)
    assert refused.is_failed() and "`confirm`" in str(refused.message)


def test_a_change_is_stored_with_what_changed_and_no_secret_is_told(
    site: Site, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_AT_ONCE", 1)  # users in pages make no other realm than all at once
    pair.ask("PUT", f"/{REALM}/clients/{pair.client()['id']}", {**pair.client(), "secret": NEW_SECRET})
    pair.ask("POST", f"/{REALM}/roles", {"name": "auditor"})
    [anna] = pair.ask("GET", f"/{REALM}/users?username={USER}")
    pair.ask("PUT", f"/{REALM}/users/{anna['id']}/reset-password", {"type": "password", "value": NEW_PASSWORD})
    (site.folder / "user").write_text(NEW_PASSWORD)
    made = site.back_up()
    stored, unchanged = ([one["name"] for one in made[what]] for what in ("stored", "unchanged"))
    assert (stored, unchanged) == ([REALM], ["master"]) and pair.marked() == []
    found = site.run("realm", "diff", "--realm", REALM)["changes"]
    assert {(one["what"], one["name"], one["how"], tuple(one["fields"])) for one in found} == {
        ("client", "kohub-backend", "changed", ("secret",)),
        ("role", "auditor", "added", ()),
        ("user", USER, "changed", ("credentials",)),
    }
    assert made["stored"][0]["facts"]["changes"] == "1 client changed, 1 role added, 1 user changed"
    reported = (
        site.message + site.text("realm", "diff", "--realm", REALM) + site.text("show", "newest", "--realm", REALM)
    )
    assert "role auditor" in reported and "kohub-backend" in reported
    assert not any(secret in reported for secret in CANARIES)


def test_a_user_s_change_alone_is_seen_by_the_events_of_the_realm(site: Site, pair: Pair) -> None:
    settings = load_settings(site.config)
    source = open_source(settings, SOURCE)
    assert isinstance(source, KeycloakSource)
    with source.looked_at() as api:
        before = {realm: look_at(api, realm) for realm in (REALM, "master")}
        for realm, name in ((REALM, USER), ("master", ADMIN)):
            [user] = pair.ask("GET", f"/{realm}/users?username={name}")
            pair.ask("PUT", f"/{realm}/users/{user['id']}", {**user, "firstName": "Another", "lastName": "Name"})
        after = {realm: look_at(api, realm) for realm in (REALM, "master")}
    assert after[REALM] != before[REALM]
    assert after["master"] == before["master"]  # it keeps no events: the daily export finds it


def test_the_newest_set_is_proven_by_an_import_and_by_logins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_AT_ONCE", 1)
    before = scratch_containers()
    found = site.run("drill", "newest", "--realm", REALM)
    assert found["result"] == "passed", found["sentence"]
    assert found["remarks"]["logins"] == "2 users, 1 client"
    [compared] = found["compared"]
    assert (compared["counts"]["user"], compared["counts"]["login"], compared["differences"]) == (2, 3, 0)
    assert scratch_containers() == before
    states = {one.key.set_id: one.state for one in catalogue(site.repository(), SOURCE).sets if one.key.name == REALM}
    assert list(states.values())[-1] == "proven"


def test_all_that_is_stored_is_encrypted_and_what_is_not_names_nothing_of_the_realm(site: Site) -> None:
    files = site.stored_files()
    assert [path.name for path in files if path.name.endswith(".gz.age")] != []
    assert [path for path in files if ".drill." in path.name or "drill" in str(path)] != []
    for path in files:
        held = path.read_bytes()
        assert not any(word.encode() in held for word in (*CANARIES, USER, "kohub-backend", "support")), path


def test_a_realm_comes_back_beside_the_live_one(site: Site, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_AT_ONCE", 1)  # in pages, as a realm of many users
    [one] = site.run("realm", "restore", REALM, "--as", "kohub-2")["restored"]
    assert (one["name"], one["kept"], one["counts"]["user"]) == ("kohub-2", None, 2)
    assert pair.login(password=NEW_PASSWORD, realm="kohub-2") == 200 and pair.client_login(NEW_SECRET, "kohub-2") == 200
    assert pair.login(password=NEW_PASSWORD) == 200  # the live one is as it was
    assert pair.run("ls -A /dev/shm").split() == []
    pair.ask("DELETE", "/kohub-2")
    called = [f"kohub-restored-{datetime.now(UTC) - timedelta(days):%Y%m%dT%H%M%SZ}" for days in (6, 8)]
    for name in called:  # as a restore calls them: one that is there for longer than a week is in use
        pair.ask("POST", "", {"realm": name, "enabled": True})
    planned = site.run("backup", "--dry-run")
    assert [one["name"] for one in planned["skipped"]] == called[:1]
    assert {one["name"] for one in planned["planned"]} == {REALM, called[1], "master"}
    for name in called:
        pair.ask("DELETE", f"/{name}")
    assert site.run("realm", "restore", "master", "--in-place", "--confirm", "master", code=2)["failed"][0][
        "sentence"
    ].startswith("The realm master is not replaced")


def test_in_place_the_live_one_is_kept_as_a_set_and_sessions_stay(site: Site, pair: Pair) -> None:
    first = min(one.key.set_id for one in catalogue(site.repository(), SOURCE).sets if one.key.name == REALM)
    pair.ask("PUT", f"/{REALM}", {"displayName": "by mistake"})
    [anna] = pair.ask("GET", f"/{REALM}/users?username={USER}")
    session = pair.token(REALM, username=USER, password=NEW_PASSWORD).json()["refresh_token"]
    command = ("realm", "restore", REALM, "--set", first, "--in-place")
    assert "--confirm" in str(site.run(*command, code=2))
    with changing(pair, str(anna["id"])):
        [one] = site.run(*command, "--confirm", REALM)["restored"]
    assert one["remarks"][-1] == "Since the import 1 user changed or came: it is in use."
    assert pair.ask("GET", f"/{REALM}").get("displayName") is None
    assert [each["id"] for each in pair.ask("GET", f"/{REALM}/users?username={USER}")] == [anna["id"]]
    assert (pair.login(), pair.login(password=NEW_PASSWORD)) == (200, 401)  # the password of then
    assert pair.client_login() == 200
    assert pair.token(REALM, grant_type="refresh_token", refresh_token=session).status_code == 200
    changes = site.run("realm", "diff", first, one["kept"])["changes"]
    assert ("setting", "changed") in {(each["what"], each["how"]) for each in changes}  # the kept set has the mistake


def scratch_containers() -> list[str]:
    return docker_text("ps", "--all", "--quiet", "--filter", "label=platform-ops.scratch").split()
