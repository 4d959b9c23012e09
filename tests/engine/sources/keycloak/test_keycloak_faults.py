"""Faults of an export, a drill and a restore of realms, each made to happen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.hosts.owned_containers import engine_client, sweep_containers
from engine.repository.catalogue import catalogue
from engine.repository.keys import Asset
from engine.repository.manifest import read_manifest
from engine.sources.keycloak.stored import stored_export
from tests.engine.sources.keycloak.kc import SLOW, says
from tests.engine.sources.keycloak.pair import ADMIN_PASSWORD, REALM, Pair, docker
from tests.engine.sources.keycloak.site import SOURCE, Site

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("keycloak")]

KC, FULL = "/tmp/po-kc.sh", "/tmp/po-full.json"


@pytest.fixture(scope="module")
def full(site: Site, pair: Pair) -> str:
    """A set of the realm by Keycloak's own export, which stand-ins then give again; which one."""
    repository, realm = site.repository(), Asset(SOURCE, "realm", REALM)
    if not catalogue(repository, SOURCE).sets:
        site.back_up(REALM)
    newest = catalogue(repository, SOURCE).newest(realm)
    assert newest
    pair.place(FULL, stored_export(repository, read_manifest(repository, newest.key)).decode())
    return newest.key.set_id


@pytest.fixture
def stand_in(site: Site, full: str, pair: Pair, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Let a stand-in make exports, into an empty store: `stand_in(script)`."""

    def use(script: str) -> None:
        pair.place(KC, script)
        site.write(f'kc = "{KC}"', str(tmp_path / "store"))

    yield use
    site.write()


@contextmanager
def running(site: Site, *arguments: str, first: str = "") -> Iterator[subprocess.Popen[str]]:
    code = f"import sys; from engine.cli import main; {first}sys.exit(main())"
    argv = [sys.executable, "-c", code, *arguments, "--config", str(site.config)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(seen: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def nothing_stored(site: Site, path: Path) -> bool:
    return not list(path.rglob("*.gz*")) and not list(path.rglob("manifest.json"))


def test_a_killed_export_leaves_no_process_and_the_next_run_works(
    site: Site, pair: Pair, stand_in: Callable[[str], None], tmp_path: Path
) -> None:
    stand_in(SLOW)
    with running(site, "backup", "--realm", REALM) as process:
        until(pair.marked)
        assert "Another run is at Keycloak" in str(site.back_up(REALM, code=4))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not pair.marked())
    assert nothing_stored(site, tmp_path / "store")
    pair.place(KC, says(FULL))
    assert [one["name"] for one in site.back_up(REALM)["stored"]] == [REALM]
    assert pair.run("ls /dev/shm").split() == []


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        (lambda text: json.dumps(json.loads(text) | {"users": []}), 0, "it is half a realm"),
        (lambda text: text[:20000], 0, "is not whole"),
        (lambda text: text, 3, "ended with 3"),
        (lambda text: text.replace('"realm" : "kohub"', '"realm" : "other"'), 0, "it is of another realm"),
    ],
    ids=["without its users", "cut", "a bad end", "another realm"],
)
def test_half_an_export_is_not_stored(
    change: Callable[[str], str], code: int, sentence: str, site: Site, pair: Pair,
    stand_in: Callable[[str], None], tmp_path: Path,
) -> None:  # fmt: skip
    pair.place("/tmp/po-half.json", change(pair.run(f"cat {FULL}")))
    stand_in(says("/tmp/po-half.json", code))
    [failed] = site.back_up(REALM, code=1)["failed"]
    assert sentence in failed["sentence"]
    assert nothing_stored(site, tmp_path / "store")


def test_a_store_that_is_full_or_away(
    site: Site, pair: Pair, stand_in: Callable[[str], None], small_disk: Path, tmp_path: Path
) -> None:
    stand_in(says(FULL))
    site.write(f'kc = "{KC}"', str(small_disk / "store"))
    (small_disk / "filler").write_bytes(b"x" * (2 * 2**20 - 8192))
    assert " is full: Writing" in str(site.back_up(REALM, code=1))
    assert nothing_stored(site, small_disk)
    site.write(f'kc = "{KC}"', str(tmp_path / "file" / "store"))
    (tmp_path / "file").write_text("no folder")
    assert "a file is in its way" in str(site.back_up(REALM, code=2))


def test_secrets_are_not_stored_in_the_clear_unless_told(
    site: Site, stand_in: Callable[[str], None], tmp_path: Path
) -> None:
    stand_in(says(FULL))
    site.write(f'kc = "{KC}"', str(tmp_path / "store"), encrypted=False)
    assert "give it some (platformctl keygen), or say allow_unencrypted = true" in str(site.back_up(REALM, code=2))
    assert nothing_stored(site, tmp_path / "store")
    site.write(f'kc = "{KC}"\nallow_unencrypted = true', str(tmp_path / "store"), encrypted=False)
    assert site.back_up(REALM)["stored"]
    known = (site.folder / "user").read_text()
    (site.folder / "user").write_text("another password, which a drill is to try")
    assert site.back_up(REALM)["stored"]  # though the realm is as it was
    (site.folder / "user").write_text(known)


def test_an_administrator_who_is_refused_is_a_sentence_and_no_new_try(site: Site, full: str) -> None:
    (site.folder / "admin").write_text("canary-of-a-wrong-password")
    try:
        assert "refuses the administrator 'admin'" in str(site.back_up(REALM, code=2))
        assert "canary" not in site.message
    finally:
        (site.folder / "admin").write_text(ADMIN_PASSWORD)


def test_the_scratch_keycloak_of_a_killed_drill_is_removed_by_the_next(site: Site, full: str) -> None:
    def scratch() -> list[str]:
        return docker("ps", "--all", "--quiet", "--filter", "label=platform-ops.scratch").split()

    before = scratch()
    with running(site, "drill", full, "--realm", REALM) as process:
        until(lambda: scratch() != before)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    client = engine_client("")
    assert sweep_containers(client) >= 1
    client.close()
    assert scratch() == before


def test_a_restore_killed_in_its_import_leaves_the_old_realm_or_the_new_one(
    site: Site, full: str, pair: Pair, stand_in: Callable[[str], None]
) -> None:
    pair.place(KC, says(FULL))
    site.write(f'kc = "{KC}"')
    pair.ask("PUT", f"/{REALM}", {"displayName": "before the restore"})

    def importing() -> bool:
        return bool(pair.run("grep -l [o]verride /proc/[0-9]*/cmdline 2>/dev/null | head -1; true").strip())

    command = ("realm", "restore", REALM, "--set", full, "--in-place", "--confirm", REALM)

    def shown() -> str | None:
        pair.ask("GET", f"/{REALM}/users/count")  # it is in the server's memory
        found: str | None = pair.ask("GET", f"/{REALM}").get("displayName")
        return found

    with running(site, *command) as process:
        until(importing)
        time.sleep(4)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not pair.marked(), 60)
    assert shown() == "before the restore"  # or the new one is there, and the server does not know it yet
    with running(site, *command) as process:
        until(importing)
        time.sleep(3)  # it is given the realm while it starts
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: not pair.marked(), 120)  # it has imported all
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert shown() == "before the restore"
    site.back_up(REALM)
    of_the_set = json.loads(pair.run(f"cat {FULL}")).get("displayName")
    assert shown() == of_the_set and pair.run("ls -A /dev/shm").split() == []


def test_a_restore_killed_between_pages_leaves_a_realm_that_is_off_and_the_next_run_removes_it(
    site: Site, full: str, pair: Pair, stand_in: Callable[[str], None]
) -> None:
    pair.place(
        KC,
        'rm "$6"/*-users-*; bash /opt/keycloak/bin/kc.sh "$@" && touch /tmp/po-half; sleep 120\n',
    )
    site.write(f'kc = "{KC}"')
    command = ("realm", "restore", REALM, "--set", full, "--as", "kohub-4")
    pages = "from engine.sources.keycloak import export; export._AT_ONCE = 0; "

    def names() -> list[str]:
        return [each["realm"] for each in pair.ask("GET", "")]

    with running(site, *command, first=pages) as process:
        until(lambda: pair.run("ls /tmp/po-half 2>/dev/null; true").strip(), 90)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    pair.ask("POST", "/master/clear-realm-cache")
    half = pair.ask("GET", "/kohub-4")
    assert half["enabled"] is False and pair.ask("GET", "/kohub-4/users/count") == 0
    pair.place(KC, says(FULL))
    site.back_up(REALM)
    assert "kohub-4" not in names() and pair.marked() == [] and pair.run("ls -A /dev/shm").split() == []

    pair.ask("POST", "", {"realm": "kohub-4", "id": half["id"], "enabled": True})  # whole: it was switched on
    pair.run(f"""echo '{{"realm": "kohub-4", "id": "{half["id"]}"}}' >/dev/shm/platform-ops-{SOURCE}.import""")
    site.back_up(REALM)
    assert "kohub-4" in names() and pair.run("ls -A /dev/shm").split() == []
    pair.ask("DELETE", "/kohub-4")


def test_what_somebody_made_meanwhile_is_not_removed(
    site: Site, full: str, pair: Pair, stand_in: Callable[[str], None]
) -> None:
    pair.place(KC, "cat <&3 >/dev/null; while [ ! -e /tmp/po-made ]; do sleep 0.2; done; exit 1\n")
    site.write(f'kc = "{KC}"')
    with running(site, "realm", "restore", REALM, "--set", full, "--as", "kohub-3") as process:
        until(pair.marked)
        pair.ask("POST", "", {"realm": "kohub-3", "enabled": True})
        pair.run("touch /tmp/po-made")
        message, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "it was not touched" in message, message
    assert pair.ask("GET", "/kohub-3")["enabled"]
    pair.ask("DELETE", "/kohub-3")


def test_keycloak_restarting_during_an_export(
    site: Site, pair: Pair, stand_in: Callable[[str], None], tmp_path: Path
) -> None:
    stand_in(SLOW)
    with running(site, "backup", "--realm", REALM) as process:
        until(pair.marked)
        docker("stop", "--time", "5", pair.name)
        message, _ = process.communicate(timeout=60)
    assert process.returncode == 1, message
    assert "The export of realm kohub" in message or "was lost (it was stopped)" in message, message
    assert nothing_stored(site, tmp_path / "store")
    assert "start it and try again" in str(site.back_up(REALM, code=1))  # which is tried for five minutes in Prefect
    docker("start", pair.name)
    assert "does not answer" in str(site.back_up(REALM, code=1))
    pair.await_ready()
    pair.place(KC, says(FULL))
    assert site.back_up(REALM)["stored"]
