"""Prove a volume's set: unpacked into a scratch volume, walked, compared with its proof; its databases are opened."""

from __future__ import annotations

import time

from engine.compose.docker import Docker
from engine.errors import ConfigurationError
from engine.hosts.opening import open_host
from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Compared, Difference, Findings
from engine.repository.repository import Repository
from engine.sources.volumes.databases import check
from engine.sources.volumes.kinds import VOLUME
from engine.sources.volumes.sandbox import Sandbox
from engine.sources.volumes.unpacking import compare, unpack


def prove(repository: Repository, body: Body, findings: Findings, progress: Progress, host: HostSettings) -> None:
    """See `engine.sources.base.Prover`."""
    sandbox = Sandbox(Docker(open_host(host), host.docker_host), f"{body.source}/drill")
    sandbox.sweep_containers()
    sandbox.sweep_volumes()
    findings.noun = VOLUME.noun
    with sandbox.scratch("scratch") as volume:
        began = time.monotonic()
        unpack(sandbox, repository, body, volume, progress)
        findings.restored()
        unpacked = time.monotonic()
        progress(f"compare {body.name}")
        found, folders, files = compare(sandbox, repository, body, volume)
        bad = _databases(sandbox, volume, findings)
        if found or bad:
            sandbox.require(volume)
        counts = {"folder": folders, "file": files}
        findings.compared = (
            Compared(
                name=body.name,
                differences=len(found) + len(bad),
                counts=counts,
                restore_seconds=unpacked - began,
                compare_seconds=time.monotonic() - unpacked,
            ),
        )
    tree = (
        Difference(where=body.name, kind="path", name=one.path, expected=one.expected or "-", found=one.found or "-")
        for one in found
    )
    findings.differences = (*tree, *bad)


def _databases(sandbox: Sandbox, volume: str, findings: Findings) -> tuple[Difference, ...]:
    """SQLite opens each database of the scratch volume, as a service would, and reads all of it."""
    try:
        message = check(sandbox, volume)
    except ConfigurationError as error:
        findings.remarks["databases"] = f"not opened: {error}"
        return ()
    if message:
        findings.remarks["databases"] = ", ".join(f"{path}: {word}" for path, word in sorted(message.items()))[:2000]
    return tuple(
        Difference(where=findings.key.name, kind="database", name=path, expected="ok", found=word[:500])
        for path, word in sorted(message.items())
        if word != "ok"
    )
