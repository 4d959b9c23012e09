"""What is stored of a realm, and what of it the next look goes by."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from engine.errors import CouldNotVerify, DamagedSet, PlatformOpsError
from engine.repository.body import Body
from engine.repository.catalogue import catalogue
from engine.repository.keys import Asset, SetKey
from engine.repository.manifest import read_manifest
from engine.repository.reading import read_small
from engine.repository.repository import Repository
from engine.repository.unchanged import last_seen
from engine.sources.keycloak.facts import RealmFacts
from engine.sources.keycloak.kinds import EXPORT, REALM
from engine.sources.keycloak.realm import Realm, read_realm
from engine.sources.keycloak.stream import NoRealm


@dataclass(frozen=True)
class Known:
    """The newest good set of a realm. `look` is what the last look saw, `exported` when all of the realm was last read
    and equal to it. `repeat`: it cannot stand for a newer one (the newest of all failed, it has other recipients)."""

    body: Body
    facts: RealmFacts
    look: str
    exported: datetime
    repeat: bool

    @property
    def key(self) -> SetKey:
        return self.body.key

    def stands(self, look: str, now: datetime, hours: float) -> bool:
        """Whether nothing has to be exported: the look sees what it saw, and the last export is young enough."""
        return not self.repeat and look == self.look and timedelta(0) <= now - self.exported < timedelta(hours=hours)


def known_set(repository: Repository, asset: Asset, now: datetime) -> Known | None:
    """What there is of a realm; None where there is no good set. What a wrong clock dated in the future is passed over.

    Raises:
        PlatformOpsError: the store cannot be read.
    """
    stored = catalogue(repository, asset.source)
    usable = stored.newest(asset, "newest-usable", now)
    if usable is None:
        return None
    try:
        body = read_manifest(repository, usable.key)
        facts = facts_of(body)
    except (DamagedSet, CouldNotVerify):  # then a new one is better
        return None
    seen = last_seen(repository, usable.key, now, stored)
    shown: Mapping[str, Any] = seen[1] if seen else {}
    newest = stored.newest(asset, now=now)
    repeat = newest is None or newest.key != usable.key or body.recipients != repository.recipients
    return Known(body, facts, str(shown.get("look", facts.look)), _exported(shown) or body.created, repeat)


def _exported(shown: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(shown["exported"])
    except (KeyError, TypeError, ValueError):
        return None


def facts_of(body: Body) -> RealmFacts:
    """The facts of a realm's set; raises as `Kind.facts_of`."""
    return cast(RealmFacts, REALM.facts_of(body))


def stored_export(repository: Repository, body: Body) -> bytes:
    """The export as Keycloak made it, checked and unpacked.

    Raises:
        DamagedSet: it is.
        CouldNotVerify: encrypted, and no fitting private key is here.
    """
    file = body.file(EXPORT)
    if file is None:
        raise DamagedSet(f"{body.key}: its manifest names no export of a realm; use another set.")
    return read_small(repository, body, file)


def realm_in(export: bytes, key: SetKey) -> Realm:
    """The realm in a set's export.

    Raises:
        DamagedSet: there is none.
    """
    try:
        return read_realm(io.BytesIO(export))
    except NoRealm as error:
        raise DamagedSet(f"{key}: its export is no whole realm ({error}); use another set.") from None


def stored_realm(repository: Repository, body: Body) -> Realm:
    """The realm in a set; raises as `stored_export` and `realm_in`."""
    return realm_in(stored_export(repository, body), body.key)


def realm_before(repository: Repository, known: Known | None) -> Realm | None:
    """The realm that a new one is compared with; None where there is none, or it cannot be read here (a host that only
    backs up has no private key)."""
    if known is None:
        return None
    try:
        return stored_realm(repository, known.body)
    except PlatformOpsError:
        return None


def seen_now(look: str, exported: datetime) -> Mapping[str, Any]:
    """What is written down of a look that found nothing new."""
    return {"look": look, "exported": exported.astimezone(UTC).isoformat(timespec="seconds")}
