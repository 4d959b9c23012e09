"""A drill, whatever is kept: the set is held meanwhile, and its kind proves it."""

from __future__ import annotations

from engine.hosts.host_lock import holding_host
from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.drill import drill
from engine.repository.findings import DrillResult, Findings
from engine.repository.keys import SetKey
from engine.repository.lease import drilling
from engine.repository.repository import Repository
from engine.sources.registry import type_of_kind

LOCK = "platform-ops-drill"
"""What drills of one host hold one after the other."""


def drill_set(
    repository: Repository, key: SetKey, label: str, progress: Progress, host: HostSettings | None = None
) -> DrillResult:
    """Restore a set into something nobody reaches and compare; the verdict is stored. A bad backup is a verdict.

    One after the other on one host, whoever starts them: each has the room and the memory that one needs. `label` tells
    others who drills. `host` is the source's own, where it is configured here.

    Raises:
        LockedByAnother: another drill of this source runs in this store, or a pruning did not end.
        CouldNotVerify: nothing here knows the kind.
    """
    prover = type_of_kind(key.kind).prove

    def prove(body: Body, findings: Findings) -> None:
        prover(repository, body, findings, progress, host or HostSettings())

    def waits() -> None:
        progress("wait for another drill on this host to end")

    with holding_host(LOCK, waits), drilling(repository.store, key, label):
        return drill(repository, key, prove)
