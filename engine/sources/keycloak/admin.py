"""Keycloak's Admin REST API, as an administrator of the realm master.

One session at a time, which is ended in Keycloak too: a look every quarter of an hour must not fill its list of sessions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from engine.errors import ConfigurationError, NotFound, PlatformOpsError, TransientFailure
from engine.hosts.base import Host
from engine.hosts.endpoints import Tcp
from engine.secrets import resolve
from engine.sources.keycloak.settings import RealmSettings

SECONDS = 60.0
CLIENT = "admin-cli"
"""The client of the realm master that Keycloak's own shell uses."""
_TOKEN_SECONDS = 30.0  # half of what Keycloak gives a token by default


class AdminApi:
    """A session of [realms.`name`]'s administrator. Nothing is asked before it is used; threads may share it."""

    def __init__(self, name: str, settings: RealmSettings, host: Host) -> None:
        self.name, self.settings, self._host = name, settings, host
        self._client: httpx.Client | None = None
        self._token: dict[str, str] = {}
        self._since = 0.0
        self._lock = threading.RLock()

    def close(self) -> None:
        """End the session, also in Keycloak."""
        with self._lock:
            if self._client is not None:
                try:
                    if refresh := self._token.get("refresh_token"):
                        self._post_form("logout", {"client_id": CLIENT, "refresh_token": refresh})
                except PlatformOpsError:
                    pass  # it ends by itself in half an hour
                finally:
                    self._client.close()
                    self._client, self._token = None, {}

    def realms(self) -> list[dict[str, Any]]:
        """All realms with their settings."""
        return list(self.ask("GET", ""))

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """What the API answers below /admin/realms; None where it answers nothing.

        Raises:
            NotFound: there is no such thing.
            ConfigurationError: the administrator is refused.
            TransientFailure: Keycloak does not answer, or not well.
        """
        with self._lock:
            headers = {"Authorization": f"Bearer {self._bearer()}"}
        found = self._send(method, f"/admin/realms{path}", headers=headers, **options)
        if found.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"{self._called} has no {path}.")
        if found.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise ConfigurationError(
                f"{self._called} does not let {self.settings.user!r} see or do all of it ({found.status_code}); give it the "
                "role admin of the realm master."
            )
        return self._json(found) if found.content else None

    @property
    def _called(self) -> str:
        return f"Keycloak {self.name} at {self.settings.url}{self._host.note}"

    def _bearer(self) -> str:
        if not self._token:
            form = {
                "grant_type": "password",
                "username": self.settings.user,
                "password": resolve(self.settings.password),
            }
            self._token = self._tokens(form)
        elif time.monotonic() - self._since > _TOKEN_SECONDS:
            try:
                self._token = self._tokens(
                    {"grant_type": "refresh_token", "refresh_token": self._token["refresh_token"]}
                )
            except ConfigurationError:  # Keycloak was started anew meanwhile
                self._token = {}
                return self._bearer()
        return self._token["access_token"]

    def _tokens(self, form: Mapping[str, str]) -> dict[str, str]:
        found = self._post_form("token", {**form, "client_id": CLIENT})
        if found.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN):
            raise ConfigurationError(
                f"{self._called} refuses the administrator {self.settings.user!r}; correct user and password of "
                f"[realms.{self.name}]."
            )
        tokens = self._json(found)
        self._since = time.monotonic()
        return dict(tokens)

    def _post_form(self, endpoint: str, form: Mapping[str, str]) -> httpx.Response:
        return self._send("POST", f"/realms/master/protocol/openid-connect/{endpoint}", data=dict(form))

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._opened().request(method, path, **options)
        except httpx.HTTPError as error:
            raise TransientFailure(
                f"{self._called} does not answer ({type(error).__name__}); see whether it runs, and its log."
            ) from None

    def _json(self, found: httpx.Response) -> Any:
        if not found.is_success:
            raise TransientFailure(f"{self._called} answers {found.status_code}; look at its log, then start again.")
        try:
            return found.json()
        except ValueError:
            raise TransientFailure(
                f"{self._called} answers what is no JSON: something else answers there (a proxy?); correct `url` of "
                f"[realms.{self.name}], or start again once Keycloak is up."
            ) from None

    def _opened(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = http_client(self._host, self.settings.url)
            return self._client


def http_client(host: Host, url: str, *, from_there: bool = False) -> httpx.Client:
    """A client of what answers at `url` there."""
    known = urlsplit(url)
    port = known.port or (443 if known.scheme == "https" else 80)
    at = host.tunnel(Tcp(known.hostname or "", port), from_there=from_there).at
    secure = known.scheme == "https"
    client = httpx.Client(
        base_url=f"{known.scheme}://{at}{known.path}",
        headers={"Host": known.netloc},
        timeout=SECONDS,
        trust_env=False,
        verify=secure,  # else a tenth of a second goes to reading CAs that nobody asks for
    )
    if secure:  # the certificate is the address's, whatever port of ours leads there
        client.event_hooks = {"request": [lambda requested: requested.extensions.update(sni_hostname=known.hostname)]}
    return client


def quoted(realm: str) -> str:
    """A realm's name in a path."""
    return quote(realm, safe="")
