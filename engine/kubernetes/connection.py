"""The one module that calls a cluster (beside `executing.py`): the official client's transport, plain JSON in and out, our errors."""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.clusters import ClusterSettings
from engine.errors import ConfigurationError, NotFound
from engine.kubernetes.errors import away, refused
from engine.kubernetes.objects import Object, Resource

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MANAGER = "platform-ops"
"""The field manager: what we apply is ours, and what others own is theirs."""
_TIMEOUT = (5.0, 30.0)
_APPLY, _JSON = "application/apply-patch+yaml", "application/json"
MERGE = "application/merge-patch+json"
_LOG_BYTES, _LINE = 10_000_000, 20_000
"""The most that is read of a log, and of one line of it."""


@dataclass
class Connection:
    """A cluster and the namespace in it that may be touched; opened at its first use."""

    name: str
    settings: ClusterSettings
    _kinds: dict[str, dict[str, Resource]] = field(default_factory=dict)
    _clock: tuple[datetime, float] = field(default_factory=lambda: (datetime.now(UTC), time.monotonic()))

    @property
    def namespace(self) -> str:
        return self.settings.namespace

    def now(self) -> datetime:
        """The cluster's time, of its last answer: what it says of its objects is by its clock, not by ours."""
        moment, at = self._clock
        return moment + timedelta(seconds=time.monotonic() - at)

    @property
    def identity(self) -> str:
        """Whose credentials they are, in words."""
        if self.settings.eks:
            return f"the AWS credentials for {self.settings.eks.cluster}"
        return f"the context {self.settings.context or 'in use'} of {self.settings.kubeconfig or 'the kubeconfig'}"

    @cached_property
    def client(self) -> ApiClient:
        """The official client.

        Raises:
            ConfigurationError: the kubeconfig is not there, or has no such context.
        """
        client = self.new_client()
        weakref.finalize(self, client.rest_client.close)  # with us its sockets go
        return client

    def new_client(self) -> ApiClient:
        """One with sockets of its own."""
        from kubernetes import client, config

        if self.settings.eks:
            from engine.kubernetes.eks import eks_configuration

            return client.ApiClient(eks_configuration(self.settings.eks))
        path, configuration = self.settings.kubeconfig or None, client.Configuration()
        configuration.retries = False
        try:
            if path is not None and not Path(path).is_file():
                raise ConfigurationError(f"The kubeconfig {path} of {self.name} is not there; put it there.")
            config.load_kube_config(path, self.settings.context or None, configuration, persist_config=False)
        except config.ConfigException as error:
            raise ConfigurationError(
                f"The kubeconfig {path or '($KUBECONFIG or ~/.kube/config)'} of {self.name} cannot be used: {error}"
            ) from None
        return client.ApiClient(configuration)

    # One object or a list of them -------------------------------------------------------------------------------------

    def get(self, resource: Resource, name: str) -> Object:
        """Raises NotFound where there is none."""
        return self._object("GET", self._path(resource, name), f"get {resource.plural}/{name}")

    def find(self, resource: Resource, name: str) -> Object | None:
        try:
            return self.get(resource, name)
        except NotFound:
            return None

    def list(self, resource: Resource, labels: str = "", fields: str = "") -> list[Object]:
        query = [(key, value) for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value]
        found = self._object("GET", self._path(resource), f"list {resource.plural}", query=query)
        return list(found.get("items") or ())

    def apply(self, resource: Resource, wanted: Object, *, dry_run: bool = False) -> Object:
        """Server-side apply with strict validation; what another manager owns of the same fields is taken over."""
        query = [("fieldManager", MANAGER), ("force", "true"), ("fieldValidation", "Strict")]
        name = wanted["metadata"]["name"]
        query += [("dryRun", "All")] if dry_run else []
        what = f"patch {resource.plural}/{name}"
        return self._object("PATCH", self._path(resource, name), what, query=query, body=wanted, content=_APPLY)

    def create(self, resource: Resource, wanted: Object) -> Object:
        query = [("fieldManager", MANAGER), ("fieldValidation", "Strict")]
        return self._object("POST", self._path(resource), f"create {resource.plural}", query=query, body=wanted)

    def replace(self, resource: Resource, wanted: Object) -> Object:
        """With the resourceVersion in it: a Conflict where it is another by now."""
        name = wanted["metadata"]["name"]
        return self._object("PUT", self._path(resource, name), f"update {resource.plural}/{name}", body=wanted)

    def patch(self, resource: Resource, name: str, body: Mapping[str, Any], subresource: str = "") -> Object:
        """A merge patch."""
        path = self._path(resource, name) + (f"/{subresource}" if subresource else "")
        query = [("fieldManager", MANAGER), ("fieldValidation", "Strict")]
        return self._object("PATCH", path, f"patch {resource.plural}/{name}", query=query, body=body, content=MERGE)

    def delete(self, resource: Resource, name: str, *, uid: str = "") -> None:
        """Delete exactly this one; with `uid` not one of the same name that was made since."""
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        self._object("DELETE", self._path(resource, name), f"delete {resource.plural}/{name}", body=options)

    def post(self, path: str, body: Mapping[str, Any], what: str) -> Object:
        """A review: something that is asked by creating it."""
        return self._object("POST", path, what, body=body)

    def resource(self, api_version: str, kind: str) -> Resource:
        """What the cluster calls a kind.

        Raises:
            ConfigurationError: it knows none; its definition (CRD) is not installed.
        """
        if api_version not in self._kinds:
            self._kinds[api_version] = self._discovered(api_version)
        try:
            return self._kinds[api_version][kind]
        except KeyError:
            raise ConfigurationError(
                f"{self.name} knows no {kind} of {api_version}; install what defines it, or leave it out of the manifests."
            ) from None

    def _discovered(self, api_version: str) -> dict[str, Resource]:
        base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            found = self._object("GET", base, f"read {api_version}")
        except NotFound:
            return {}
        return {
            each["kind"]: Resource(api_version, each["name"], each["namespaced"])
            for each in found["resources"]
            if "/" not in each["name"]
        }

    # Text, as it comes ------------------------------------------------------------------------------------------------

    def log(self, pod: str, container: str = "", *, lines: int = 100, previous: bool = False) -> str:
        """The last lines of a container; '' where it never ran."""
        query = [("tailLines", str(lines)), ("container", container), ("previous", "true" if previous else "")]
        query.append(("limitBytes", str(_LOG_BYTES)))
        path = f"{self._path(PODS, pod)}/log"
        answer = self._answer("GET", path, [pair for pair in query if pair[1]], None, _JSON, f"read the log of {pod}")
        return bytes(answer.read()).decode("utf8", "replace")

    @contextmanager
    def following(self, pod: str, container: str = "", *, lines: int = 100) -> Iterator[Iterator[str]]:
        """The lines of a container as they come, until it ends or the block does."""
        query = [("tailLines", str(lines)), ("follow", "true"), *([("container", container)] if container else [])]
        what = f"follow the log of {pod}"
        answer = self._answer("GET", f"{self._path(PODS, pod)}/log", query, None, _JSON, what, (5.0, None)).response
        try:
            yield _lines(answer.stream(65536, decode_content=False))
        finally:
            answer.close()

    # The wire ---------------------------------------------------------------------------------------------------------

    def _path(self, resource: Resource, name: str = "") -> str:
        return resource.path(self.namespace, name)

    def _object(
        self,
        method: str,
        path: str,
        what: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        content: str = _JSON,
    ) -> Object:
        answer = self._answer(method, path, query, body, content, what)
        try:
            found: Object = json.loads(answer.read())
        except ValueError:  # a proxy's page, or an answer that was cut off
            raise away(self.name, "what it answered is no JSON") from None
        return found

    def _answer(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        body: Any,
        content: str,
        what: str,
        timeout: tuple[float, float | None] = _TIMEOUT,
    ) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json, */*", "Content-Type": content}
        request = self.client.param_serialize(
            method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            answer = self.client.call_api(*request, _request_timeout=timeout)
            if date := answer.getheader("Date"):
                self._clock = parsedate_to_datetime(date), time.monotonic()
            if not 200 <= answer.status < 300:
                raise refused(self.name, what, answer.status, bytes(answer.read()), self.identity)
            if timeout[1] is not None:
                answer.read()
            return answer
        except HTTPError as error:
            raise away(self.name, error) from None
        except ApiException as error:
            raise away(self.name, error.reason) from None


PODS = Resource("v1", "pods")


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    """A line that does not end is cut where it becomes too long."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > _LINE:
            whole, rest = [*whole, rest], b""
        yield from (line[:_LINE].decode("utf8", "replace") for line in whole)
    if rest:
        yield rest.decode("utf8", "replace")
