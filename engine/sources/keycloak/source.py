"""A Keycloak as a source; see `engine.sources.base` for the contract."""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigurationError, ItemGone, NotFound, PlatformOpsError
from engine.hosts.opening import open_host
from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.keys import STAMP, Asset, SetKey, moment, new_set_id
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.secrets import resolve
from engine.sources.base import Held, Restored, Source
from engine.sources.item import Item, Run, Unchanged
from engine.sources.keycloak.admin import AdminApi
from engine.sources.keycloak.caches import forget_what_is_left
from engine.sources.keycloak.diff import Change, changes, summary
from engine.sources.keycloak.export import Exported, Keycloak
from engine.sources.keycloak.facts import RealmFacts
from engine.sources.keycloak.kinds import CHANGES, EXPORT, LOGIN, REALM
from engine.sources.keycloak.lock import keycloak_lock
from engine.sources.keycloak.look import keeps_events, look_at
from engine.sources.keycloak.programs import MARK
from engine.sources.keycloak.restore import RealmRestore, is_there
from engine.sources.keycloak.stored import Known, known_set, realm_before, seen_now
from engine.sources.keycloak.whole import export_whole

if TYPE_CHECKING:
    from engine.sources.keycloak.settings import RealmSettings


_BESIDE, _BESIDE_DAYS = re.compile(rf".+-restored-{STAMP}"), 7
_UNREADABLE = "not readable here"  # a host that only backs up has no private key


@dataclass(frozen=True)
class RealmFound(Item):
    """A realm; `events`: whether every change of it leaves an event."""

    events: bool = False


class KeycloakSource(Source):
    """`keycloak` is its program, where it runs."""

    settings: RealmSettings

    def __init__(self, name: str, settings: RealmSettings, host: HostSettings) -> None:
        self.name = name
        self.settings = settings
        self.host = open_host(host)
        self.keycloak = Keycloak.of(self.host, name, settings)
        self._held: AdminApi | None = None
        self._left = False

    @property
    def address(self) -> str:
        return f"Keycloak {self.name}"

    @contextmanager
    def lock(self, label: str) -> Iterator[Held]:
        """See the contract. It is not taken where Keycloak does not answer."""
        with keycloak_lock(self.host, self.name, label) as held:
            api = AdminApi(self.name, self.settings, self.host)
            try:
                api.ask("GET", "/master")
                self._held, self._left = api, held.left
                yield held
            finally:
                self._held = None
                api.close()

    def sweep(self) -> None:
        self.host.end_leftovers({MARK: self.name})
        if self._held and self._left:
            forget_what_is_left(self.host, self.name, self._held)
            self._left = False

    def items(self) -> Sequence[RealmFound]:
        with self.looked_at() as api:
            found = sorted(api.realms(), key=lambda each: str(each["realm"]))
        return [_found(each) for each in found]

    def remarks(self, items: Sequence[Item]) -> Sequence[str]:
        """What is excluded may be gone: then nobody waits for it."""
        blind = [item.name for item in items if isinstance(item, RealmFound) and not (item.events or item.skipped)]
        if not blind:
            return ()
        return [
            f"A changed user of {', '.join(blind)} (a password, an attribute) is seen once in "
            f"{self.settings.full_export_hours:g} h only: turn on the realm's admin events and user events, and each change is "
            "stored at the next look (docs/realms.md)."
        ]

    def backup(self, item: Item, run: Run, out: SetWriter, progress: Progress) -> RealmFacts | Unchanged:
        self._require_encrypted(out.repository)
        login = self._login(item.name)
        with self.looked_at() as api:
            now = datetime.now(UTC)
            known = known_set(out.repository, out.key.asset, now)
            look = self._look(api, item.name, login)
            if known and known.stands(look, now, self.settings.full_export_hours):
                return Unchanged(known.key, seen_now(look, known.exported))
            progress(f"export realm {item.name}")
            exported = export_whole(self.keycloak, api, item.name)
        if known and not known.repeat and known.facts.content == _content(exported, login):
            return Unchanged(known.key, seen_now(look, now))
        return self.store(out, exported, look, known, login)

    def store(
        self, out: SetWriter, exported: Exported, look: str, known: Known | None = None, login: bytes = b""
    ) -> RealmFacts:
        """Store an export, with what it changed since the set that is known."""
        before = realm_before(out.repository, known)
        found = changes(before, exported.realm) if before else ()
        out.add_packed(
            "realm.json", io.BytesIO(exported.packed), EXPORT, whole=lambda: True, encrypt_here=True,
            expected_bytes=len(exported.packed),
        )  # fmt: skip
        if login:
            out.add("login.json", login, LOGIN)
        if before:
            out.add("changes.txt", _text(found).encode(), CHANGES)
        return RealmFacts.with_changes(
            found,
            keycloak_version=exported.realm.version,
            image=self.host.image,
            content=_content(exported, login),
            look=look,
            things=exported.realm.counts,
            before=known.key.set_id if known else "",
            changes=summary(found) if before else _UNREADABLE if known else "",
        )

    def taken(self, name: str) -> bool:
        with self.looked_at() as api:
            return is_there(api, name)

    def restore(self, repository: Repository, body: Body, into: str, *, in_place: bool, progress: Progress) -> Restored:
        self._require_encrypted(repository)
        with self.looked_at() as api:
            run = RealmRestore(self.name, self.keycloak, api, partial(self._keep, repository, body.name), progress)
            return run.bring_back(repository, body, into, in_place=in_place)

    def _keep(self, repository: Repository, realm: str, exported: Exported) -> SetKey:
        """Store the live realm, which is going to be replaced; which set it is in."""
        asset = Asset(self.name, REALM.name, realm)
        known, login = known_set(repository, asset, datetime.now(UTC)), self._login(realm)
        if known and not known.repeat and known.facts.content == _content(exported, login):
            return known.key
        out = SetWriter(repository, asset.set(new_set_id(datetime.now(UTC), "kept", secrets.token_hex(8))))
        try:
            out.publish(self.store(out, exported, "", known, login))
        except BaseException:
            with suppress(PlatformOpsError):
                out.withdraw()
            raise
        return out.key

    @contextmanager
    def looked_at(self) -> Iterator[AdminApi]:
        """The session of the run that holds the lock, else one of its own."""
        if self._held is not None:
            yield self._held
            return
        api = AdminApi(self.name, self.settings, self.host)
        try:
            yield api
        finally:
            api.close()

    def _look(self, api: AdminApi, realm: str, login: bytes) -> str:
        try:
            return look_at(api, realm, hashlib.sha256(login).hexdigest())
        except NotFound:
            raise ItemGone(f"Realm {realm!r} of {self.address} was removed while it was backed up.") from None

    def _require_encrypted(self, repository: Repository) -> None:
        if not (repository.recipients or self.settings.allow_unencrypted):
            raise ConfigurationError(
                f"The realms of {self.name} hold private keys, client secrets and credentials, and [stores.{repository.store.name}] "
                f"has no recipients: give it some (platformctl keygen), or say allow_unencrypted = true in [realms.{self.name}]."
            )

    def _login(self, realm: str) -> bytes:
        """Whose login a drill of this realm tries; b"" where nobody was named."""
        login = self.settings.logins.get(realm)
        return json.dumps({"user": login.user, "password": resolve(login.password)}).encode() if login else b""


def _found(settings: Mapping[str, Any]) -> RealmFound:
    """A realm that a restore put beside another is looked at and removed again: nobody waits for sets of it, for a week.
    One that stays is in use."""
    name = str(settings["realm"])
    beside = _BESIDE.fullmatch(name)
    since = moment(beside[1]) if beside else None
    young = since and datetime.now(UTC) - since < timedelta(days=_BESIDE_DAYS)
    skipped = f"it was restored beside another one; it is exported once it is {_BESIDE_DAYS} days old" if young else ""
    return RealmFound(REALM.name, name, skipped=skipped, events=keeps_events(settings))


def _content(exported: Exported, login: bytes) -> str:
    """A digest of all that goes into a set; it tells nothing of the login, since a realm has private keys."""
    digest = exported.realm.digest
    return hashlib.sha256(digest.encode() + login).hexdigest() if login else digest


def _text(found: Sequence[Change]) -> str:
    return "".join(f"{one.thing}: {one.how}{': ' if one.fields else ''}{', '.join(one.fields)}\n" for one in found)
