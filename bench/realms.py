"""Realms of Keycloak: a look that finds no change, and the full export of a realm with 10,000 users."""

from __future__ import annotations

import base64
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.figures import Figure
from bench.timing import tell
from engine.hosts.opening import open_host
from engine.hosts.settings import HostSettings
from engine.sources.keycloak.admin import AdminApi
from engine.sources.keycloak.export import Keycloak
from engine.sources.keycloak.look import look_at
from engine.sources.keycloak.settings import RealmSettings
from tests.engine.sources.keycloak.pair import ADMIN_PASSWORD, REALM, Pair, keycloak_pair

_COMMANDS = ("python -m bench --only realms",)
_AT_ONCE = 500


def measure(users: int, laps: int) -> list[Figure]:
    with keycloak_pair() as pair, tempfile.TemporaryDirectory() as folder:
        _add_users(pair, users)
        password = Path(folder) / "admin"
        password.write_text(ADMIN_PASSWORD)
        settings = RealmSettings(url="http://127.0.0.1:8080/auth", password=f"file:{password}", store="bench")
        host = open_host(HostSettings(where=f"container:{pair.name}"))
        keycloak = Keycloak.of(host, "bench", settings)
        look_at(AdminApi("bench", settings, host), REALM)  # a Keycloak that has just started is slow at first
        return [
            Figure(
                f"realms: a look without change, {users:,} users",
                max(_look(settings, host) for _ in range(laps + 2)),
                "s", "<=", 1.0, 0.5, _COMMANDS,
            ),
            Figure(
                f"realms: a full export of {users:,} users",
                max(_export(keycloak, users) for _ in range(laps)),
                "s", "<=", 60.0, 30.0, _COMMANDS,
            ),
        ]  # fmt: skip


def _look(settings: RealmSettings, host: Any) -> float:
    """As a run does it: with a login of its own."""
    began = time.monotonic()
    api = AdminApi("bench", settings, host)
    look_at(api, REALM)
    took = time.monotonic() - began
    api.close()
    tell(f"realms: a look took {took:.2f} s")
    return took


def _export(keycloak: Keycloak, users: int) -> float:
    began = time.monotonic()
    found = keycloak.export(REALM)
    took = time.monotonic() - began
    if found.realm.counts["user"] < users:
        raise AssertionError(f"only {found.realm.counts['user']} users came")
    tell(f"realms: an export took {took:.1f} s, {len(found.packed) / 1e6:.1f} MB packed")
    return took


def _add_users(pair: Pair, users: int) -> None:
    """With credentials as Keycloak hashes them, made without hashing: nobody logs in."""
    tell(f"realms: adding {users:,} users")
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
