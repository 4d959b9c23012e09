"""What a deploy is followed by: a backup of each part of the platform that asks for one."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping

from engine.config.settings import SourceSettings
from engine.errors import PlatformOpsError
from engine.operations.backup import BackupRun
from engine.repository.repository import Repository
from engine.sources.base import Source
from engine.sources.registry import type_of
from engine.steps import Steps


def followed_by(platform: str, sources: Mapping[str, SourceSettings]) -> Iterator[str]:
    """The names of those sources."""
    return (name for name, own in sources.items() if own.platform == platform and type_of(own).after_deploy)


def back_up_after_deploy(
    platform: str,
    sources: Mapping[str, SourceSettings],
    open_source: Callable[[str], Source],
    open_repository: Callable[[str], Repository],
    label: str,
    steps: Steps,
) -> Iterator[str]:
    """Do it, and say what came of each. What goes wrong spoils no release: it is said too."""
    for name in followed_by(platform, sources):
        try:
            run = BackupRun(open_source(name), open_repository, secrets.token_hex(8), label)
            run.carry_out(steps)
            problem: PlatformOpsError | None = run.problem()
        except PlatformOpsError as error:
            problem = error
        if problem is not None:
            yield f"The release runs; {name} was not stored after it: {problem}"
        elif run.result.stored:
            yield f"{name} was stored after it, as {run.result.stored[0].key}."
        else:
            yield f"{name} is stored as it is."
