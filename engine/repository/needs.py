"""Sets that do not restore without others: which others those are, and that they are there."""

from __future__ import annotations

from collections.abc import Callable, Collection

from engine.errors import TransientFailure
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey
from engine.repository.manifest import read_manifest
from engine.repository.parsing import parse_set
from engine.repository.repository import Repository

Needs = Callable[[SetKey], Collection[SetKey]]
"""The sets without which one does not restore."""


def needs_in(repository: Repository) -> Needs:
    """As the manifests say.

    Raises, when it is called:
        PlatformOpsError: a manifest cannot be read; then nothing may go.
    """
    return lambda key: [parse_set(text) for text in read_manifest(repository, key).needs]


def require_needs(repository: Repository, key: SetKey, needs: Collection[SetKey]) -> None:
    """See, before a set is published, that all it needs is stored: a pruning may have gone by meanwhile.

    Raises:
        TransientFailure: one is not there; what makes the set again stores it again.
    """
    if not needs:
        return
    there = {one.key for one in catalogue(repository, key.source).sets}
    if gone := next((each for each in needs if each not in there), None):
        raise TransientFailure(
            f"{key} in {repository.store.address} was not published: it needs {gone}, which is not there; start again."
        )
