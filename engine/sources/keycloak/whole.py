"""An export that has every user: compared with who Keycloak says there was before it and still is after it.

Some forms of an export leave the users out, and end with 0. Where users come in pages, one who is added or removed
meanwhile may move another out of all pages: then it is made again.
"""

from __future__ import annotations

from engine.errors import TransientFailure
from engine.sources.keycloak.admin import AdminApi, quoted
from engine.sources.keycloak.export import Exported, Keycloak

_TRIES, _AT_ONCE = 3, 5000
_ELSEWHERE = "org.keycloak.storage.UserStorageProvider"


def export_whole(keycloak: Keycloak, api: AdminApi, realm: str) -> Exported:
    """All of a realm. The users of one that has them elsewhere (LDAP) are not looked at: those are in no export.

    Raises:
        TransientFailure: users are missing in it, each time; and as `Keycloak.export`.
    """
    if api.ask("GET", f"/{quoted(realm)}/components", params={"type": _ELSEWHERE}):
        return keycloak.export(realm)
    for _ in range(_TRIES):
        before = _names(api, realm)
        exported = keycloak.export(realm, users=len(before))
        missing = (before & _names(api, realm)) - exported.realm.users
        if not missing:
            return exported
    raise TransientFailure(
        f"The export of realm {realm} lacks {len(missing):,} of {len(before):,} users of Keycloak's: it is half a realm, and "
        "nothing of it was stored. Look at Keycloak's log, then start again."
    )


def _names(api: AdminApi, realm: str) -> set[str]:
    """All its users but those of clients."""
    found: set[str] = set()
    first = 0
    while True:
        span = {"briefRepresentation": True, "first": first, "max": _AT_ONCE}
        page = api.ask("GET", f"/{quoted(realm)}/users", params=span)
        found.update(each["username"] for each in page)
        if len(page) < _AT_ONCE:
            return found
        first += _AT_ONCE
