"""How Keycloak's program is run and how its end is told, with stand-ins for it on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import CouldNotVerify, DamagedSet, OperationFailed, TransientFailure
from engine.hosts.opening import open_host
from engine.hosts.settings import HostSettings
from engine.sources.keycloak import export as export_module
from engine.sources.keycloak import programs
from engine.sources.keycloak.export import Keycloak, Refused
from engine.sources.keycloak.prove import _import
from engine.sources.keycloak.scratch import ScratchKeycloak
from tests.engine.repository.made import a_body, a_key

USERS = [{"username": f"user{number}"} for number in range(70)]
HEAD = {"realm": "kohub", "keycloakVersion": "24.0.5"}
Program = Callable[..., Keycloak]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """`program(script, stall_seconds)` is a Keycloak whose program is that script."""
    monkeypatch.setattr(export_module, "_AT_ONCE", 10)
    for module in (export_module, programs):
        monkeypatch.setattr(module, "PER_FILE", 50)
    host = open_host(HostSettings())

    def made(script: str, stall_seconds: float = 30) -> Keycloak:
        (tmp_path / "kc.sh").write_text(script)
        return Keycloak(host, "test", str(tmp_path / "kc.sh"), 128, stall_seconds)

    return made


def folders() -> set[str]:
    return {each.name for each in Path("/dev/shm").glob("platform-ops-export.*")}


def pages(*users: list[dict[str, str]], end: str = "exit 0") -> str:
    """A script that writes as Keycloak does: into files of a folder that it is given."""
    lines = []
    for name, document in (
        ("realm", HEAD), *((f"users-{at}", {"realm": "kohub", "users": each}) for at, each in enumerate(users)),
    ):  # fmt: skip
        lines.append(f"echo '{json.dumps(document)}' >\"$6/kohub-{name}.json\"")
    return "\n".join(['[ "$5" = --dir ] || exit 9', *lines, end])


def test_many_users_come_in_pages_through_a_pipe_and_leave_nothing(program: Program) -> None:
    before = folders()
    found = program(pages(USERS[:50], USERS[50:])).export("kohub", users=70)
    assert found.realm.users == {each["username"] for each in USERS}
    for script, sentence in (
        (pages(USERS[:50], end="kill -9 $$"), "ended with -9"),
        (pages(USERS[:50], end="exit 1"), "ended with 1"),
        (pages(USERS[:50], USERS[50:], end='echo {} >"$6/kohub-federated-users-0.json"'), "is not whole"),
        (pages(USERS[:20], USERS[20:]), "a page of its users is missing"),
        (pages(*[USERS[:50]] * 22), "a page of its users is missing"),  # of which there were names for 21
    ):
        with pytest.raises(TransientFailure, match=sentence):
            program(script).export("kohub", users=70)
    assert folders() == before


@pytest.mark.parametrize("switched_off", [False, True])
def test_an_import_in_pages_reads_each_into_a_file_of_its_own(
    program: Program, tmp_path: Path, switched_off: bool
) -> None:
    memory, seen = tmp_path / "memory", tmp_path / "seen"
    memory.mkdir()
    export = json.dumps(HEAD | {"users": USERS, "enabled": True}).encode()
    keycloak = program(f'[ "$1 $2 $3 $4 $5" = "import --optimized --override false --dir" ] && cp -a "$6" {seen}')
    keycloak.take_in_pages("kohub", export, str(memory), switched_off=switched_off)
    found = {each.name: json.loads(each.read_text()) for each in seen.iterdir()}
    assert found == {
        "kohub-realm.json": HEAD | {"enabled": not switched_off},
        "kohub-users-0.json": {"realm": "kohub", "users": USERS[:50]},
        "kohub-users-1.json": {"realm": "kohub", "users": USERS[50:]},
    }
    assert {each.stat().st_mode & 0o777 for each in (seen, *seen.iterdir())} == {0o600, 0o700}
    for script in ("exit 1", "kill -9 $$"):
        with pytest.raises(TransientFailure):
            program(script).take_in_pages("kohub", export, str(memory))
    deadline = time.monotonic() + 5
    while list(memory.iterdir()):
        assert time.monotonic() < deadline, "files stayed in memory"
        time.sleep(0.02)


SAYS = 'echo \'2026 ERROR [x] (main) ERROR: duplicate "uk-1" of "anna" Detail: Key (name)=(anna) exists.\' >&2; '


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (f"{SAYS} exit 1", DamagedSet),
        (f"{SAYS} kill -9 $$", CouldNotVerify),
        (f"{SAYS} echo 'java.lang.OutOfMemoryError: Java heap space' >&2; exit 1", CouldNotVerify),
        ("exit 3", CouldNotVerify),
        ("exec sleep 60", CouldNotVerify),
    ],
    ids=["refused", "killed", "without memory", "without a word", "hanging"],
)
def test_only_what_keycloak_refuses_is_held_against_the_set(program: Program, end: str, kind: type) -> None:
    keycloak = program(f'if [ "$1" = import ]; then {end}; fi; echo \'{{"realm": "master"}}\' >/dev/fd/3', 0.5)
    scratch = ScratchKeycloak(keycloak.host, keycloak)
    body = a_body(a_key("2026-02-07 17:00", "kohub", kind="realm"), {})
    with pytest.raises(kind) as raised:
        _import(scratch, body, iter([b"{}"]), 0)
    assert "anna" not in str(raised.value)
    broken = program(f"{SAYS if 'ERROR' in end else ''} exit 1")
    with pytest.raises(CouldNotVerify):  # it takes nothing at all, whatever is imported
        _import(ScratchKeycloak(broken.host, broken), body, iter([b"{}"]), 0)


def test_what_a_refusal_quotes_is_not_told(program: Program) -> None:
    with pytest.raises(Refused) as raised:
        program(f"{SAYS} exit 1").take_in("kohub", [b"{}"], override=True)
    assert str(raised.value) == ("The import of realm kohub ended with 1: ERROR: duplicate (not shown) of (not shown).")
    with pytest.raises(OperationFailed, match="ended with 127"):
        program("exit 127").take_in("kohub", [b"{}"], override=True)
