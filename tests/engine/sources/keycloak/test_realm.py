"""A realm thing by thing, read as it comes: pure."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from engine.sources.keycloak.diff import changes, losses, summary
from engine.sources.keycloak.realm import Realm, Thing, read_realm
from engine.sources.keycloak.rewrite import as_another, rewritten
from engine.sources.keycloak.stream import NoRealm, members

ID, OTHER = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"
SECRET = "canary-5a5a-of-a-client"


def realm(**own: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "realm": "kohub",
        "keycloakVersion": "24.0.5",
        "accessTokenLifespan": 300,
        "roles": {"realm": [{"id": OTHER, "name": "agent"}], "client": {"web": [{"name": "agent"}]}},
        "groups": [{"path": "/a", "name": "a", "subGroups": [{"path": "/a/b", "name": "b"}]}],
        "clients": [
            {"id": OTHER, "clientId": "web", "secret": SECRET, "redirectUris": ["https://b/", "https://a/"],
             "baseUrl": "/realms/kohub/account/", "attributes": {"x": "1"}},
        ],
        "users": [{"username": "anna", "credentials": [{"secretData": "hash"}]}, {"username": "s", "serviceAccountClientId": "web"}],
        "components": {"org.keycloak.keys.KeyProvider": [{"name": "rsa", "config": {"privateKey": ["canary"]}}]},
        "authenticationFlows": [{"alias": "browser", "id": ID}],
        **own,
    }  # fmt: skip


def parsed(document: dict[str, Any]) -> Realm:
    return read_realm(io.BytesIO(json.dumps(document, ensure_ascii=False).encode()))


class InPieces:
    """A stream that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._source = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._source.read(1)


def test_things_are_told_apart_and_counted() -> None:
    found = parsed(realm())
    assert found.counts == {"identity provider": 0, "flow": 1, "group": 2, "role": 2, "client": 1, "user": 2}
    assert (found.name, found.version, found.service_accounts) == ("kohub", "24.0.5", 1)
    assert {
        Thing("role", "web/agent"),
        Thing("group", "/a/b"),
        Thing("component", "KeyProvider/rsa"),
    } <= found.things.keys()


def test_the_order_of_lists_and_members_says_nothing() -> None:
    turned = dict(reversed(realm().items()))
    turned["clients"] = [{**turned["clients"][0], "redirectUris": ["https://a/", "https://b/"]}]
    assert parsed(turned).digest == parsed(realm()).digest
    turned["clients"][0]["redirectUris"] = ["https://a/"]
    assert parsed(turned).digest != parsed(realm()).digest


def test_a_change_is_told_by_name_and_never_by_what_it_says() -> None:
    other = realm(accessTokenLifespan=600, groups=[])
    other["clients"][0]["secret"] = "canary-9999"
    other["users"] = [*realm()["users"][1:], {"username": "운영자"}]
    found = changes(parsed(realm()), parsed(other))
    assert [(str(one.thing), one.how, one.fields) for one in found] == [
        ("client web", "changed", ("secret",)),
        ("group /a", "removed", ()),
        ("group /a/b", "removed", ()),
        ("the realm itself", "changed", ("accessTokenLifespan 300 to 600",)),
        ("user anna", "removed", ()),
        ("user 운영자", "added", ()),
    ]
    assert "2 groups removed" in summary(found)
    assert "canary" not in str(found)


def test_an_import_may_add_defaults_and_lose_nothing() -> None:
    more = realm()
    more["clients"][0]["attributes"]["post.logout.redirect.uris"] = "+"
    assert losses(parsed(realm()), parsed(more)) == ((), 1)
    lost, _ = losses(parsed(more), parsed(realm()))
    assert [(str(one.thing), one.field, one.found) for one in lost] == [
        ("client web", "attributes.post.logout.redirect.uris", "nothing")
    ]
    fewer = realm(users=[])
    assert {str(one.thing) for one in losses(parsed(realm()), parsed(fewer))[0]} == {"user anna", "user s"}
    assert {one.expected for one in losses(parsed(fewer), parsed(realm()))[0]} == {"nothing"}


@pytest.mark.parametrize("cut", [1, 20, 200, 700, -1])
def test_what_is_not_whole_is_no_realm(cut: int) -> None:
    data = json.dumps(realm()).encode()
    with pytest.raises(NoRealm):
        read_realm(io.BytesIO(data[:cut]))
    with pytest.raises(NoRealm):
        read_realm(io.BytesIO(data + b"{}"))
    with pytest.raises(NoRealm):
        read_realm(io.BytesIO(b"[]"))


def test_it_is_read_as_it_comes() -> None:
    data = json.dumps(realm(displayName="운영"), ensure_ascii=False, indent=2).encode()
    assert dict(members(InPieces(data)))["displayName"] == "운영"
    assert read_realm(InPieces(data)).digest == read_realm(io.BytesIO(data)).digest


def test_another_realm_beside_has_ids_and_addresses_of_its_own() -> None:
    policy = json.dumps([OTHER])
    export = json.dumps(realm(policies=[{"name": "p", "config": {"roles": policy}}])).encode()
    made = json.loads(as_another(export, "kohub", "kohub-2"))
    assert made["realm"] == "kohub-2" and made["clients"][0]["baseUrl"] == "/realms/kohub-2/account/"
    role = made["roles"]["realm"][0]["id"]
    assert role != OTHER and made["clients"][0]["id"] == role  # the same one, wherever it is spoken of
    assert json.loads(made["policies"][0]["config"]["roles"]) == [role]
    assert made["authenticationFlows"][0]["id"] == made["id"] != ID
    assert made["clients"][0]["secret"] == SECRET


def test_things_more_go_into_its_lists() -> None:
    for document in (realm(), realm(users=[]), {"realm": "kohub"}):
        pieces = rewritten(
            io.BytesIO(json.dumps(document).encode()), {"users": [{"username": "x"}], "clients": [{"clientId": "y"}]}
        )
        found = parsed(json.loads(b"".join(pieces)))
        assert {Thing("user", "x"), Thing("client", "y")} <= found.things.keys()
