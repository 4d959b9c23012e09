"""How a realm's set is proven: imported into a scratch Keycloak, exported again and compared, and logged in to.

What is imported has a user and a client of the drill's own beside the realm's, since nobody knows the password of
another user: they are left out of what is compared.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

from engine.errors import CouldNotVerify, DamagedSet, OperationFailed
from engine.progress import Progress, counted
from engine.repository.body import Body
from engine.repository.findings import Compared, Difference, Findings
from engine.repository.reading import read_small
from engine.repository.repository import Repository
from engine.sources.keycloak.diff import losses
from engine.sources.keycloak.export import Refused, moves_in_pages
from engine.sources.keycloak.kinds import LOGIN
from engine.sources.keycloak.realm import Realm, Thing
from engine.sources.keycloak.rewrite import rewritten
from engine.sources.keycloak.scratch import FOLDER, ScratchKeycloak, Serving, scratch_keycloak
from engine.sources.keycloak.stored import facts_of, realm_in, stored_export
from engine.sources.keycloak.stream import members

_CLIENTS = 20
"""So many client secrets are tried."""
_ITERATIONS = 210_000
_TO_DO = "Account is not fully set up"
_REFUSED = "Invalid client or Invalid client credentials"


def prove(repository: Repository, body: Body, findings: Findings, progress: Progress, engine: str) -> None:
    """See `engine.repository.drill.Prove`."""
    facts = facts_of(body)
    if facts.image is None:
        raise CouldNotVerify(
            f"{body.key} comes from a Keycloak that ran in no container, so there is no image to import it into."
        )
    export = stored_export(repository, body)
    expected = realm_in(export, body.key)
    login = read_small(repository, body, file) if (file := body.file(LOGIN)) else b""
    findings.noun, findings.private = "realm", True
    own = DrillUser.of(export)
    enabled = next((value for member, value in members(io.BytesIO(export)) if member == "enabled"), False)
    progress(f"prepare a scratch Keycloak {facts.keycloak_version} without a network")
    with scratch_keycloak(facts.image, "scratch", engine, len(expected.users)) as scratch:
        began = time.monotonic()
        progress(f"import realm {body.name} into it")
        _import(scratch, body, own.among(export), len(expected.users))
        findings.restored()
        restored = time.monotonic()
        progress("export it again, and compare")
        users = 0 if expected.federated else len(expected.users)
        found = own.omitted(scratch.keycloak.export(body.name, users).realm)
        wrong = _differences(findings, expected, found)
        logins: Sequence[tuple[str, str]] = ()
        if enabled:
            progress("log in with a password, and with client secrets")
            logins = _logins(scratch, body.name, export, own, login)
    failed = [_not_in(body.name, who, why) for who, why in logins if why]
    findings.differences = (*wrong, *failed)
    findings.remarks["logins"] = _tried(logins) if enabled else "none was tried: the realm is switched off"
    findings.compared = (
        Compared(
            name=body.name,
            differences=len(findings.differences),
            counts={**found.counts, "login": len(logins) - len(failed)},
            restore_seconds=restored - began,
            compare_seconds=time.monotonic() - restored,
        ),
    )


def _differences(findings: Findings, expected: Realm, found: Realm) -> list[Difference]:
    """What did not come back; what the import added is remarked."""
    lost, added = losses(expected, found)
    if added:
        findings.remarks["defaults"] = f"Keycloak's import has added its defaults to {counted(added, 'field')}"
    return [
        Difference(
            where=expected.name,
            kind=one.thing.part,
            name=f"{one.thing.name} {one.field}".strip(),
            expected=one.expected,
            found=one.found,
        )
        for one in lost
    ]


def _tried(logins: Sequence[tuple[str, str]]) -> str:
    """How many, and no names: a verdict is not encrypted."""
    clients = sum(who.startswith("client ") for who, _ in logins)
    return f"{counted(len(logins) - clients, 'user')}, {counted(clients, 'client')}"


def _not_in(realm: str, who: str, why: str) -> Difference:
    return Difference(where=realm, kind="login", name=who, expected="a token", found=why)


def _import(scratch: ScratchKeycloak, body: Body, pieces: Iterator[bytes], users: int) -> None:
    try:
        if moves_in_pages(body.name, users):
            scratch.keycloak.take_in_pages(body.name, b"".join(pieces), FOLDER)
        else:
            scratch.keycloak.take_in(body.name, pieces, override=True)
    except Refused as error:
        _require_sound(scratch)
        raise DamagedSet(f"{body.key} is not taken by a Keycloak of its own version: {error}") from None
    except OperationFailed as error:
        raise CouldNotVerify(
            f"The scratch Keycloak was ended, or had too little memory; nothing was shown: {error}"
        ) from None


def _require_sound(scratch: ScratchKeycloak) -> None:
    """Whether the scratch Keycloak works without the set: else it is to blame, and not the set.

    Raises:
        CouldNotVerify: it does not.
    """
    try:
        scratch.keycloak.export("master")
    except OperationFailed as error:
        raise CouldNotVerify(f"The scratch Keycloak does not work, whatever is imported: {error}") from None


class DrillUser:
    """A user and a client of the drill's own, by names that nobody has."""

    def __init__(self, direct_grant: str) -> None:
        self.name, self.password = f"platform-ops-drill-{secrets.token_hex(6)}", secrets.token_urlsafe(24)
        self._direct_grant = direct_grant

    @classmethod
    def of(cls, export: bytes) -> DrillUser:
        """With Keycloak's own way to log in with a password, whatever the realm asks for besides."""
        flows = _member(export, "authenticationFlows")
        return cls(next((str(each.get("id", "")) for each in flows if each.get("alias") == "direct grant"), ""))

    def among(self, export: bytes) -> Iterator[bytes]:
        """The export with both in it."""
        user = {
            "username": self.name, "enabled": True, "email": f"{self.name}@localhost.invalid", "emailVerified": True,
            "firstName": "Drill", "lastName": "Drill", "requiredActions": [],
            "credentials": [_hashed(self.password)],
        }  # fmt: skip
        client: dict[str, Any] = {
            "clientId": self.name, "enabled": True, "publicClient": True, "directAccessGrantsEnabled": True,
            "protocol": "openid-connect", "fullScopeAllowed": False,
        }  # fmt: skip
        if self._direct_grant:
            client["authenticationFlowBindingOverrides"] = {"direct_grant": self._direct_grant}
        return rewritten(io.BytesIO(export), {"users": [user], "clients": [client]})

    def omitted(self, realm: Realm) -> Realm:
        """The realm without them."""
        for part in ("user", "client"):
            realm.things.pop(Thing(part, self.name), None)
        return realm


def _hashed(password: str) -> dict[str, Any]:
    """A password as Keycloak keeps it: of one that it has to hash it asks what the realm's policy allows."""
    salt = secrets.token_bytes(16)
    value = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    secret = {"value": b64encode(value).decode(), "salt": b64encode(salt).decode(), "additionalParameters": {}}
    how = {"hashIterations": _ITERATIONS, "algorithm": "pbkdf2-sha512", "additionalParameters": {}}
    now = int(time.time() * 1000)  # a policy may say how old a password may be
    return {"type": "password", "createdDate": now, "secretData": json.dumps(secret), "credentialData": json.dumps(how)}


def _logins(scratch: ScratchKeycloak, realm: str, export: bytes, own: DrillUser, login: bytes) -> list[tuple[str, str]]:
    """Who was tried, and why he did not get in ('' where he did)."""
    serving = scratch.serve()
    try:
        return [*_users(serving, realm, own, login), *_clients(serving, realm, export)]
    finally:
        serving.close()


def _users(serving: Serving, realm: str, own: DrillUser, login: bytes) -> Iterator[tuple[str, str]]:
    users = {"a user of the drill's own": (own.name, own.password)}
    if login:
        named = json.loads(login)
        users[f"user {named['user']}"] = (named["user"], named["password"])
    for who, (name, password) in users.items():
        form = {"grant_type": "password", "client_id": own.name, "username": name, "password": password}
        answer = serving.token(realm, form)
        # Who still has to do something (a profile that lacks an attribute) is told so, once the password was right.
        yield who, "" if _TO_DO in answer.text else _why(answer.status_code, answer.text)


def _clients(serving: Serving, realm: str, export: bytes) -> Iterator[tuple[str, str]]:
    for client in _confidential(export):
        form = {"grant_type": "client_credentials", "client_id": client["clientId"], "client_secret": client["secret"]}
        answer = serving.token(realm, form)
        # One that may not log in by itself is told so, once its secret was right.
        shown = "unauthorized_client" in answer.text and _REFUSED not in answer.text
        known = shown and not client.get("serviceAccountsEnabled")
        yield f"client {client['clientId']}", "" if known else _why(answer.status_code, answer.text)


def _why(status: int, text: str) -> str:
    if status == 200 and "access_token" in text:
        return ""
    try:
        message = str(json.loads(text).get("error_description", ""))[:100]
    except (ValueError, AttributeError):
        message = ""
    return f"{status}{': ' if message else ''}{message}"


def _confidential(export: bytes) -> list[dict[str, Any]]:
    """Clients that log in with a secret, those with an account of their own first."""
    found = [
        each
        for each in _member(export, "clients")
        if each.get("secret")
        and each.get("enabled")
        and not each.get("bearerOnly")
        and each.get("clientAuthenticatorType") == "client-secret"
    ]
    return sorted(found, key=lambda each: not each.get("serviceAccountsEnabled"))[:_CLIENTS]


def _member(export: bytes, name: str) -> list[dict[str, Any]]:
    return next((value for member, value in members(io.BytesIO(export)) if member == name), [])
