"""A realm thing by thing, read as it comes: pure."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from engine.sources.keycloak import stream
from engine.sources.keycloak.diff import changes, losses, summary
from engine.sources.keycloak.look import OF_USERS, keeps_events
from engine.sources.keycloak.pages import Joined
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
    assert (found.name, found.version, found.users) == ("kohub", "24.0.5", {"anna", "s"})
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


@pytest.mark.parametrize("cut", [0, 1, 20, 200, 700, -1])
def test_what_is_not_whole_is_no_realm(cut: int) -> None:
    data = json.dumps(realm()).encode()
    with pytest.raises(NoRealm):
        read_realm(io.BytesIO(data[:cut]))
    with pytest.raises(NoRealm):
        read_realm(io.BytesIO(data + b"{}"))
    with pytest.raises(NoRealm):
        read_realm(io.BytesIO(b"[]"))


@pytest.mark.parametrize(
    "odd", [{"roles": []}, {"roles": {"realm": {}}}, {"roles": {"client": {"web": [1]}}}, {"components": {"x": 1}},
            {"groups": ["a"]}, {"clients": {"a": 1}}, {"users": ["anna"]}],
)  # fmt: skip
def test_what_is_otherwise_than_keycloak_writes_it_is_no_realm(odd: dict[str, Any]) -> None:
    with pytest.raises(NoRealm):
        parsed(realm(**odd))


def test_every_change_leaves_an_event_where_all_are_saved_and_nothing_else_changes_users() -> None:
    saving = {"adminEventsEnabled": True, "eventsEnabled": True}
    assert keeps_events(saving) and keeps_events(saving | {"enabledEventTypes": [*OF_USERS, "LOGIN"]})
    assert not keeps_events(saving | {"enabledEventTypes": ["UPDATE_PASSWORD", "UPDATE_PROFILE"]})
    assert not keeps_events(saving | {"identityProviders": [{"alias": "google"}]})
    assert not keeps_events(saving | {"eventsEnabled": False}) and not keeps_events(
        saving | {"adminEventsEnabled": False}
    )


def test_it_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    document = realm(displayName="운영", displayNameHtml="\u20ac" * 40, ratio=-0.25e3)
    data = json.dumps(document, ensure_ascii=False, indent=2).encode()
    whole = read_realm(io.BytesIO(data))
    for chunk in (1, 2, 3, 7, 64):  # each value crosses the border of a piece somewhere
        monkeypatch.setattr(stream, "_CHUNK", chunk)
        found = dict(members(InPieces(data)))
        assert (found["displayName"], found["ratio"]) == ("운영", -250.0)
        assert read_realm(InPieces(data)).digest == whole.digest


def pages(document: dict[str, Any], of: int, *, end: int = 0) -> list[bytes]:
    """As Keycloak writes users into files of so many."""
    users = document["users"]
    head = {name: value for name, value in document.items() if name != "users"}
    rows = [{"realm": "kohub", "users": users[at : at + of]} for at in range(0, len(users), of)]
    return [json.dumps(each, ensure_ascii=False, indent=2).encode() for each in (head, *rows, {"end": end})]


FIVE = realm(users=[{"username": f"운영자{number}", "createdTimestamp": number * 1.5} for number in range(5)])


def test_users_that_come_in_pages_make_the_same_realm() -> None:
    for document, size in ((FIVE, 2), (FIVE, 5), (realm(users=[]), 2)):
        joined = Joined(InPieces(b"".join(pages(document, size))), size)
        assert read_realm(joined).digest == parsed(document).digest
    twice = realm(users=[*FIVE["users"], FIVE["users"][3]])  # one more registered while it was exported
    joined = Joined(io.BytesIO(b"".join(pages(twice, 2))), 2)
    assert read_realm(joined).digest == parsed(FIVE).digest


@pytest.mark.parametrize(
    "wrong",
    [
        lambda found: found[:-1],
        lambda found: found[:1] + found[2:-1],
        lambda found: [*found[:2], found[3], *found[2:]],
        lambda found: [*found[:2], found[2][:40], *found[3:]],
        lambda found: [*found[:2], found[2].replace(b"kohub", b"other"), *found[3:]],
        lambda found: [*found[:-1], b'{"end": 1}'],
        lambda found: [*found, found[1]],
        lambda found: [json.dumps(FIVE).encode(), *found[1:]],
        lambda found: [],
    ],
    ids=[
        "without the end", "first and end missing", "a page that is not full", "cut", "of another realm", "a file more", "more after it",
        "users twice", "nothing",
    ],
)  # fmt: skip
def test_pages_that_are_not_whole_are_no_realm(wrong: Any) -> None:
    with pytest.raises(NoRealm):
        read_realm(Joined(io.BytesIO(b"".join(wrong(pages(FIVE, 2)))), 2))


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
