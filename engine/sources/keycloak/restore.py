"""Bring a realm back: beside the live one as a realm of another name, or in its place.

In its place Keycloak imports a realm in one transaction, so that whatever is killed the old one or the new one is whole. The
live one is exported and stored before it is replaced, and is imported again when the new one is not what was in the set.
Where there is none, many users come in pages, and the realm is switched off until they are all there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.errors import ConfigurationError, NotFound, OperationFailed, PlatformOpsError
from engine.progress import Progress, counted
from engine.repository.body import Body
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.sources.base import Restored
from engine.sources.keycloak.admin import AdminApi, quoted
from engine.sources.keycloak.caches import Half, forget, forgetting, is_whole
from engine.sources.keycloak.diff import losses
from engine.sources.keycloak.export import Exported, Keycloak, moves_in_pages
from engine.sources.keycloak.realm import Realm, Thing
from engine.sources.keycloak.rewrite import as_another
from engine.sources.keycloak.stored import realm_in, stored_export
from engine.sources.keycloak.stream import members
from engine.sources.keycloak.whole import export_whole
from engine.streams.unpack import unpack_bytes

MASTER, _MANAGEMENT = "master", "realm-management"
_PIECE, _FEW = 1 << 18, 20
_BESIDE = (
    "Beside the live one a realm has ids of its own: applications that know a user by his id (sub) do not know him there; "
    "names, passwords, secrets and keys are the same. In place the ids stay."
)
_IN_PLACE = "Who was logged in still is, where the user is in the restored realm too."


@dataclass(frozen=True)
class RealmRestore:
    """`name` is the source's; `keep` stores the live realm, and tells as which set."""

    name: str
    keycloak: Keycloak
    api: AdminApi
    keep: Callable[[Exported], SetKey]
    progress: Progress

    def bring_back(self, repository: Repository, body: Body, into: str, *, in_place: bool) -> Restored:
        """See `Source.restore`."""
        live = is_there(self.api, into)
        self._require_fitting(body.name, into, live, in_place)
        export = stored_export(repository, body)
        realm_in(export, body.key)
        if into != body.name:
            export = as_another(export, body.name, into)
        expected, own_id = realm_in(export, body.key), str(_in(export, "id"))
        before, kept = None, None
        if live:
            self.progress(f"export the live realm {into}, and keep it")
            before = export_whole(self.keycloak, self.api, into)
            kept = self.keep(before)
        with self._undone(into, before, kept, own_id, expected):
            self.progress(f"import realm {into}")
            if not live and not expected.federated and moves_in_pages(into, len(expected.users)):
                self._take_in_pages(Half(into, own_id), export)
            else:
                self._take_in(into, export, override=live)
            self.progress(f"export realm {into} again, and compare")
            added, moved = self._compared(expected, into, of_master=body.name == MASTER != into, in_use=live)
        remarks = [_IN_PLACE if live else _BESIDE] if live or into != body.name else []
        if added:
            remarks.append(f"Keycloak has added its defaults to {counted(added, 'field')}, as each import does.")
        if moved:
            remarks.append(f"Since the import {counted(moved, 'user')} changed or came: it is in use.")
        return Restored(body.key, into, str(kept or ""), expected.counts, tuple(remarks))

    def _require_fitting(self, name: str, into: str, live: bool, in_place: bool) -> None:
        if live and not in_place:
            raise ConfigurationError(f"There is a realm {into!r}; give another name, or restore in place of it.")
        if live and into != name:
            raise ConfigurationError(
                f"A set of realm {name} takes the place of no other realm than its own, and {into!r} is another."
            )
        if live and name == MASTER:
            raise ConfigurationError(
                "The realm master is not replaced while Keycloak runs: it has its administrators, and what leads to every "
                "other realm. Restore it beside and take over what you need, or import it into an empty Keycloak "
                "(docs/realms.md)."
            )

    def _take_in(self, into: str, export: bytes, *, override: bool) -> None:
        pieces = (export[at : at + _PIECE] for at in range(0, len(export), _PIECE))
        with forgetting(self.keycloak.host, self.name, self.api):
            self.keycloak.take_in(into, pieces, override=override)

    def _take_in_pages(self, half: Half, export: bytes) -> None:
        with forgetting(self.keycloak.host, self.name, self.api, half):
            self.keycloak.take_in_pages(half.realm, export, switched_off=True)
            is_whole(self.keycloak.host, self.name)
            if _in(export, "enabled"):
                forget(self.api)
                self.api.ask("PUT", f"/{quoted(half.realm)}", json={"enabled": True})

    def _compared(self, expected: Realm, into: str, *, of_master: bool, in_use: bool) -> tuple[int, int]:
        """How many fields Keycloak has added, and how many users are others than in the set: from the import on those of a
        realm `in_use` log in and change what is theirs. Every realm but master gets a client realm-management, which
        master has not.

        Raises:
            OperationFailed: something is not as in the set.
        """
        found = export_whole(self.keycloak, self.api, into).realm
        if of_master:
            found.things = {thing: fields for thing, fields in found.things.items() if not _manages(thing)}
        lost, added = losses(expected, found)
        of_users = {one.thing for one in lost if one.thing.part == "user" and (one.field or one.found == "it")}
        users = len(expected.users)
        if in_use and len(of_users) <= min(max(_FEW, users // 50), users // 2):
            lost = tuple(one for one in lost if one.thing not in of_users)
        if lost:
            raise OperationFailed(
                f"Realm {into} did not come back as it is in its set: {counted(len(lost), 'difference')}, first "
                f"{lost[0].thing} {lost[0].field}."
            )
        return added, len(of_users)

    @contextmanager
    def _undone(
        self, into: str, before: Exported | None, kept: SetKey | None, own_id: str, expected: Realm
    ) -> Iterator[None]:
        """Whatever fails, what was there before is there again."""
        try:
            yield
        except BaseException as error:
            shown = self._put_back(into, before, own_id, expected)
            if isinstance(error, PlatformOpsError):
                there = f" What was there is also in {kept}." if kept else ""
                raise OperationFailed(f"{error} {shown}{there}") from None
            raise

    def _put_back(self, into: str, before: Exported | None, own_id: str, expected: Realm) -> str:
        try:
            if before is not None:
                if not self._is_still(before.realm, expected, into):
                    self._take_in(into, unpack_bytes(before.packed, ()), override=True)
                    self._compared(before.realm, into, of_master=False, in_use=True)
                return f"The live realm {into} is as it was."
            found = self.api.ask("GET", f"/{quoted(into)}") if is_there(self.api, into) else None
            if found and found.get("id") != own_id:
                return (
                    f"The realm {into} that is there is another one, which somebody made meanwhile; it was not touched."
                )
            if found:
                self.api.ask("DELETE", f"/{quoted(into)}")
        except PlatformOpsError as error:
            return f"What was there could not be put back: {error}"
        return f"There is no realm {into}, as before."

    def _is_still(self, before: Realm, expected: Realm, into: str) -> bool:
        """Whether the import left the live realm alone: it is nearer to what it was than to the set. Then what its users
        changed meanwhile is not taken from them."""
        found = export_whole(self.keycloak, self.api, into).realm
        return len(losses(before, found)[0]) < len(losses(expected, found)[0])


def _manages(thing: Thing) -> bool:
    return thing == Thing("client", _MANAGEMENT) or (thing.part == "role" and thing.name.startswith(f"{_MANAGEMENT}/"))


def _in(export: bytes, name: str) -> object:
    return next((value for member, value in members(io.BytesIO(export)) if member == name), "")


def is_there(api: AdminApi, realm: str) -> bool:
    """Whether there is a realm of this name."""
    try:
        return api.ask("GET", f"/{quoted(realm)}") is not None
    except NotFound:
        return False
