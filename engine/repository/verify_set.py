"""One set read again: every file compared with the manifest, size by size and hash by hash.

*failed* means the bytes are shown to be wrong, missing or not of this set. What could not be read at
the moment, or not be judged here, is *unverified*: neither good nor bad.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from engine.errors import DamagedSet, PlatformOpsError
from engine.repository.body import Body, FileEntry
from engine.repository.keys import MANIFEST, SetKey
from engine.repository.manifest import read_manifest
from engine.repository.missing import missing_is_damage
from engine.repository.repository import Repository

Result = Literal["passed", "failed", "unverified"]
Finding = Literal["equal", "differs", "missing", "extra", "unreadable"]

_CHUNK = 2**20
_BAD: tuple[Finding, ...] = ("differs", "missing", "extra")


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What was found about one file; sizes in bytes, None where there is nothing to compare."""

    name: str
    finding: Finding
    stored_size: int | None
    manifest_size: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """One set's verification: `sentence` is the outcome in words, `read` counts bytes."""

    key: SetKey
    result: Result
    sentence: str
    checks: tuple[FileCheck, ...]
    read: int
    seconds: float
    verdict: str | None = None


def verified(repository: Repository, key: SetKey, progress: Callable[[str], None] | None) -> VerifyReport | None:
    """The report; None when there is no such set, or no longer."""
    began = monotonic()
    stored = _stored_files(repository, key)
    if MANIFEST not in stored:
        return None
    try:
        body = read_manifest(repository, key)
    except PlatformOpsError as error:
        checks = [FileCheck(MANIFEST, _blame(error), stored[MANIFEST], None, str(error))]
    else:
        checks = _check_files(repository, body, stored, progress)
    report = _report(repository, key, checks, monotonic() - began)
    if report.result != "passed" and MANIFEST not in _stored_files(repository, key):
        return None  # pruned while it was read: its files are gone for a good reason
    return report


def _stored_files(repository: Repository, key: SetKey) -> dict[str, int]:
    return {stored.key.removeprefix(key.prefix): stored.size for stored in repository.store.list(key.prefix)}


def _check_files(
    repository: Repository, body: Body, stored: dict[str, int], progress: Callable[[str], None] | None
) -> list[FileCheck]:
    checks: list[FileCheck] = []
    for entry in body.files:
        check = _check_file(repository, body.key, entry, stored.get(entry.name))
        checks.append(check)
        if progress:
            progress(f"{body.key}/{entry.name}: {check.detail}")
    known = {entry.name for entry in body.files} | {MANIFEST}
    for name in sorted(stored.keys() - known):
        # `gunzip -c *.sql.gz | psql` would run it, so a file more is as bad as a file less.
        checks.append(FileCheck(name, "extra", stored[name], None, "is not in the manifest"))
    return checks


def _check_file(repository: Repository, key: SetKey, entry: FileEntry, size: int | None) -> FileCheck:
    if size is None:
        return FileCheck(entry.name, "missing", None, entry.size, "is missing")
    if size != entry.size:
        detail = f"has {size} bytes where the manifest says {entry.size}"
        return FileCheck(entry.name, "differs", size, entry.size, detail)
    try:
        read, digest = _hash(repository, key.prefix + entry.name)
    except PlatformOpsError as error:
        return FileCheck(entry.name, _blame(error), size, entry.size, f"could not be read: {error}")
    if read != size:
        detail = f"could be read to byte {read} only, of {size} that are stored"
        return FileCheck(entry.name, "unreadable", size, entry.size, detail)
    if digest != entry.sha256:
        return FileCheck(entry.name, "differs", size, entry.size, "has other bytes than the manifest says")
    return FileCheck(entry.name, "equal", size, entry.size, "is equal")


def _hash(repository: Repository, key: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with missing_is_damage(), repository.store.reader(key) as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _blame(error: PlatformOpsError) -> Finding:
    """What an error says about the set: only what its own bytes are is held against it."""
    return "differs" if isinstance(error, DamagedSet) else "unreadable"


def _report(repository: Repository, key: SetKey, checks: list[FileCheck], seconds: float) -> VerifyReport:
    findings = {check.finding for check in checks}
    result: Result = "failed" if findings.intersection(_BAD) else "passed"
    if result == "passed" and "unreadable" in findings:
        result = "unverified"
    read = sum(check.stored_size or 0 for check in checks if check.finding == "equal")
    return VerifyReport(key, result, _sentence(repository, key, result, checks), tuple(checks), read, seconds)


def _sentence(repository: Repository, key: SetKey, result: Result, checks: list[FileCheck]) -> str:
    where = f"{key} in {repository.store.address}"
    if result == "passed":
        return f"{where} is equal to its manifest: {len(checks)} files."
    first, *more = [check for check in checks if check.finding != "equal"]
    if first.name == MANIFEST:
        return first.detail
    others = f" (and {len(more)} more)" if more else ""
    if result == "failed":
        return (
            f"{where} differs from its manifest: {first.name} {first.detail}{others}; "
            "restore another set, `list` shows which are good."
        )
    return f"{where} could not be verified: {first.name} {first.detail}{others}; verify it again."
