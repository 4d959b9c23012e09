"""Whether a realm changed, asked cheaply: of the Admin API, in a fraction of a second, whatever the number of users.

It sees all of a realm but what is its users' (Keycloak has no cheap answer for that) and the secrets Keycloak never tells
(of an LDAP bind, of identity providers): of these a change is seen where the realm keeps events, by the newest one.
What it does not see, the full export once a day does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from engine.sources.keycloak.admin import AdminApi, quoted

OF_USERS = (
    "REGISTER", "UPDATE_PROFILE", "UPDATE_EMAIL", "VERIFY_EMAIL", "UPDATE_PASSWORD", "RESET_PASSWORD", "UPDATE_TOTP",
    "REMOVE_TOTP", "CUSTOM_REQUIRED_ACTION", "FEDERATED_IDENTITY_LINK", "REMOVE_FEDERATED_IDENTITY",
    "IDENTITY_PROVIDER_FIRST_LOGIN", "IDENTITY_PROVIDER_LINK_ACCOUNT", "GRANT_CONSENT", "UPDATE_CONSENT", "REVOKE_GRANT",
    "DELETE_ACCOUNT",
)  # fmt: skip
"""Events by which a user changes himself. A login is none."""


def look_at(api: AdminApi, realm: str, beside: str = "") -> str:
    """A digest of all that is cheap to see; `beside` goes into it.

    Raises:
        NotFound: there is no such realm.
        PlatformOpsError: as `AdminApi.ask`.
    """
    path = f"/{quoted(realm)}"
    shown = api.ask("POST", f"{path}/partial-export", params={"exportClients": True, "exportGroupsAndRoles": True})
    clients = api.ask("GET", f"{path}/clients")
    seen = [
        shown,
        [[each["id"], each.get("secret")] for each in clients],
        api.ask("GET", f"{path}/users/count"),
        _newest_events(api, path, shown),
        beside,
    ]
    return hashlib.sha256(_canonical(seen)).hexdigest()


def keeps_events(settings: Mapping[str, Any]) -> bool:
    """Whether every change of a user leaves an event in the realm with these settings: it saves each by which a user
    changes himself, and no identity provider changes one at a login."""
    types = settings.get("enabledEventTypes") or OF_USERS
    by_users = settings.get("eventsEnabled") and set(OF_USERS) <= set(types)
    return bool(settings.get("adminEventsEnabled") and by_users and not settings.get("identityProviders"))


def _newest_events(api: AdminApi, path: str, settings: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    if settings.get("adminEventsEnabled"):
        found += api.ask("GET", f"{path}/admin-events", params={"max": 1})
    if settings.get("eventsEnabled"):
        found += api.ask("GET", f"{path}/events", params={"max": 1, "type": list(OF_USERS)})
    return found


def _canonical(value: Any) -> bytes:
    return json.dumps(_sorted(value), sort_keys=True).encode()


def _sorted(value: Any) -> Any:
    """Lists in an order of their own: Keycloak gives them in any."""
    if isinstance(value, dict):
        return {name: _sorted(each) for name, each in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    return value
