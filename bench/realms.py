"""Realms of Keycloak with 10,000 users: a run that finds no change, a full export, a restore beside, a drill."""

from __future__ import annotations

import base64
import secrets
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Figure
from bench.timing import report
from engine.config.settings import Settings
from engine.operations.backup import BackupRun
from engine.operations.drill import drill_set
from engine.progress import silent
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey, new_set_id
from engine.repository.manifest import read_manifest
from engine.repository.repository import open_repository
from engine.repository.writing import SetWriter
from engine.sources.keycloak.kinds import REALM as KIND
from engine.sources.registry import load_settings, open_source
from engine.steps import InShell
from tests.engine.sources.keycloak.pair import REALM, Pair, keycloak_pair
from tests.engine.sources.keycloak.site import SOURCE, Site

_COMMANDS = ("python -m bench --only realms",)
_AT_ONCE, _SETS = 500, 1000


def measure(users: int, laps: int) -> list[Figure]:
    with keycloak_pair("") as pair, tempfile.TemporaryDirectory() as folder:
        _add_users(pair, users)
        site = Site(Path(folder), pair)
        site.write()
        settings = load_settings(site.config)
        exports = [_export(settings, users)]
        known = _many_sets(settings)
        unchanged = median(_unchanged(settings) for _ in range(laps + 2))
        for lap in range(1, laps):
            pair.ask("PUT", f"/{REALM}", {"displayName": f"lap {lap}"})
            exports.append(_export(settings, users))
        return [
            Figure(
                f"realms: a run of an unchanged realm, {users:,} users, {_SETS:,} sets",
                unchanged, "s", "<=", 1.0, 0.5, _COMMANDS,
            ),
            Figure(f"realms: a full export of {users:,} users", max(exports), "s", "<=", 60.0, 30.0, _COMMANDS),
            Figure(
                f"realms: a restore of {users:,} users beside the live ones",
                _beside(site, known), "s", "<=", None, None, _COMMANDS,
            ),
            Figure(f"realms: a drill of {users:,} users", _drill(settings, known), "s", "<=", None, None, _COMMANDS),
        ]  # fmt: skip


def _run(settings: Settings) -> BackupRun:
    """All that a run of the realm does, but for retention."""
    run = BackupRun(
        open_source(settings, SOURCE),
        lambda name: open_repository(name, settings.store(name)),
        token=secrets.token_hex(8),
        label="bench",
        wanted=((KIND.name, REALM),),
        retain=False,
    )
    run.carry_out(InShell(silent))
    if problem := run.problem():
        raise problem
    return run


def _unchanged(settings: Settings) -> float:
    began = time.monotonic()
    run = _run(settings)
    took = time.monotonic() - began
    if not run.result.unchanged:
        raise AssertionError("it was stored again")
    report(f"realms: a run without change took {took:.2f} s")
    return took


def _export(settings: Settings, users: int) -> float:
    """From the look to the stored set, with the comparison of all users."""
    began = time.monotonic()
    [stored] = _run(settings).result.stored
    took = time.monotonic() - began
    if stored.facts.counts()["user"] < users:
        raise AssertionError(f"only {stored.facts.counts()['user']} users came")
    report(f"realms: an export took {took:.1f} s, {stored.body.size / 1e6:.1f} MB")
    return took


def _many_sets(settings: Settings) -> SetKey:
    """Sets from before, of which nothing but what a listing sees is there; the real one."""
    repository = open_repository("nightly", settings.store("nightly"))
    [one] = catalogue(repository, SOURCE).sets
    facts = KIND.facts_of(read_manifest(repository, one.key))
    for number in range(1, _SETS):
        at = datetime.now(UTC) - timedelta(hours=number)
        SetWriter(repository, one.key.asset.set(new_set_id(at, "bench", str(number)))).publish(facts)
    return one.key


def _beside(site: Site, key: SetKey) -> float:
    """The import in pages, and the comparison with what was stored."""
    began = time.monotonic()
    site.run("realm", "restore", REALM, "--set", key.set_id, "--as", "beside")
    took = time.monotonic() - began
    report(f"realms: a restore beside took {took:.1f} s")
    return took


def _drill(settings: Settings, key: SetKey) -> float:
    began = time.monotonic()
    found = drill_set(open_repository("nightly", settings.store("nightly")), key, "bench", silent)
    if found.result != "passed":
        raise AssertionError(found.sentence)
    report(f"realms: {found.sentence}")
    return time.monotonic() - began


def _add_users(pair: Pair, users: int) -> None:
    """With credentials as Keycloak hashes them, made without hashing: nobody logs in."""
    report(f"realms: adding {users:,} users")
    for start in range(0, users, _AT_ONCE):
        made = [_user(number) for number in range(start, min(users, start + _AT_ONCE))]
        pair.ask("POST", f"/{REALM}/partialImport", {"ifResourceExists": "SKIP", "users": made})


def _user(number: int) -> dict[str, Any]:
    value = base64.b64encode(f"{number:064d}".encode()).decode()
    return {
        "username": f"user{number:06d}",
        "email": f"user{number:06d}@example.org",
        "firstName": "Bench",
        "lastName": f"Number {number}",
        "enabled": True,
        "attributes": {"department": [f"department {number % 40}"], "phone": [f"02-{number:08d}"]},
        "groups": ["/support"],
        "realmRoles": ["agent"],
        "credentials": [
            {
                "type": "password",
                "secretData": f'{{"value":"{value}","salt":"c2FsdHNhbHRzYWx0c2FsdA==","additionalParameters":{{}}}}',
                "credentialData": '{"hashIterations":210000,"algorithm":"pbkdf2-sha512","additionalParameters":{}}',
            }
        ],
    }
