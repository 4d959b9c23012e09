"""Whether the credentials may do what is about to be done: SelfSubjectAccessReviews, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from engine.kubernetes.connection import PODS, Connection
from engine.kubernetes.errors import Forbidden
from engine.kubernetes.objects import AUTOSCALERS, CONFIG_MAPS, DEPLOYMENTS, EVENTS, LEASES, REPLICA_SETS, Resource

Right = tuple[str, str, str]
"""A verb, a group of the API ('' is the core) and a resource, `pods/exec` with what is below it."""
_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_AT_ONCE = 8


def rights(resource: Resource, *verbs: str, below: str = "") -> Iterator[Right]:
    for verb in verbs:
        yield verb, resource.group, resource.plural + (f"/{below}" if below else "")


def to_change(kinds: Iterable[Resource], *, smoke: bool) -> list[Right]:
    """What a deploy or rollback needs: its lock, its record, its objects, and to look at what becomes of them."""
    found = [*rights(LEASES, "get", "create", "update"), *rights(AUTOSCALERS, "list")]
    found += rights(CONFIG_MAPS, "get", "list", "create", "patch", "delete")
    found += [
        right for kind in dict.fromkeys((*kinds, DEPLOYMENTS)) for right in rights(kind, "get", "create", "patch")
    ]
    found += [right for kind in (PODS, REPLICA_SETS, EVENTS) for right in rights(kind, "list")]
    found += rights(PODS, "get", below="log")
    found += rights(PODS, "create", below="exec") if smoke else ()
    return list(dict.fromkeys(found))


def require(connection: Connection, needed: Sequence[Right]) -> None:
    """Raises Forbidden with all that lack."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda right: _allowed(connection, right), needed))
    if lacking := [f"{verb} {resource}" for (verb, _, resource), may in zip(needed, answers, strict=True) if not may]:
        raise Forbidden(
            f"{connection.identity} may not {', '.join(lacking)} in {connection.namespace} of {connection.name}; nothing "
            "was touched. Give it those rights (stack/k8s/once/deployer.yaml)."
        )


def _allowed(connection: Connection, right: Right) -> bool:
    verb, group, resource = right
    plural, _, below = resource.partition("/")
    attributes = {"namespace": connection.namespace, "verb": verb, "group": group, "resource": plural}
    if below:
        attributes["subresource"] = below
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = connection.post(_PATH, review, "ask what it may do")
    return bool(answer["status"]["allowed"])
