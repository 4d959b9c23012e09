"""What a deploy is followed by: a backup of each part of the platform that asks for one."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping

from engine.config.settings import SourceSettings
from engine.errors import PlatformOpsError, out_of
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
    """Do it, and say what came of each. What goes wrong spoils no release, whatever it is: it is said too."""
    for name in followed_by(platform, sources):
        try:
            yield _stored(BackupRun(open_source(name), open_repository, secrets.token_hex(8), label), name, steps)
        except PlatformOpsError as error:
            yield f"The release runs; {name} was not stored after it: {error}"
        except Exception as error:  # noqa: BLE001 - only its kind is said: what it says may quote a secret
            why = out_of(error) or f"an unexpected error ({type(error).__name__}); `platformctl backup` shows it."
            yield f"The release runs; {name} was not stored after it: {why}"


def _stored(run: BackupRun, name: str, steps: Steps) -> str:
    """What one backup came to.

    Raises:
        PlatformOpsError: it is not wholly good.
    """
    run.carry_out(steps)
    if problem := run.problem():
        raise problem
    skipped = next((item.skipped for item in run.result.found if item.skipped), "")
    if run.result.stored:
        message = f"{name} was stored after it, as {run.result.stored[0].key}."
    elif skipped:
        message = f"The release runs; {name} was not stored after it: {skipped}."
    else:
        message = f"{name} is stored as it is."
    return " ".join((message, *run.result.remarks))
