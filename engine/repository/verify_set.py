"""One set read again: every file compared with the manifest, size by size and hash by hash.

*failed* means the bytes are shown to be wrong, missing or not of this set, by two readings that say the same. What
could not be read at the moment, or not be judged here, or is told another way each time, is *unverified*: neither good
nor bad. A store that changes its answer is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import Literal

from engine.errors import DamagedSet, PlatformOpsError, UnsteadyStore
from engine.repository.body import Body, FileEntry
from engine.repository.keys import MANIFEST, SetKey
from engine.repository.manifest import read_manifest
from engine.repository.reading import hashed
from engine.repository.repository import Repository

Result = Literal["passed", "failed", "unverified"]
Finding = Literal["equal", "differs", "missing", "extra", "unreadable"]

_BAD: tuple[Finding, ...] = ("differs", "missing", "extra")


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What was found about one file; sizes in bytes, None where there is nothing to compare. `sha256` is what was read
    where that differs; `unsteady`: a reading before gave something else."""

    name: str
    finding: Finding
    stored_size: int | None
    manifest_size: int | None
    detail: str
    sha256: str = ""
    unsteady: bool = False

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to tell of it."""
        return self.finding == "equal" and not self.unsteady


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """One set's verification: `sentence` is the outcome in words, `read` counts bytes."""

    key: SetKey
    result: Result
    sentence: str
    checks: tuple[FileCheck, ...]
    read: int
    seconds: float
    verdict: str | None = None


def verified(repository: Repository, key: SetKey, progress: Callable[[str], None] | None) -> VerifyResult | None:
    """The report; None when there is no such set, or no longer."""
    began = monotonic()
    first = _checks(repository, key, progress)
    if first and any(check.finding in _BAD or check.unsteady for check in first):
        good = {check.name: check for check in first if check.finding == "equal"}
        second = _checks(repository, key, progress, good)
        first = second and _settled(repository, first, second)
    if not first:
        return None
    report = _report(repository, key, first, monotonic() - began)
    if report.result != "passed" and MANIFEST not in _stored_files(repository, key):
        return None  # pruned while it was read: its files are gone for a good reason
    return report


def _checks(
    repository: Repository,
    key: SetKey,
    progress: Callable[[str], None] | None,
    good: Mapping[str, FileCheck] | None = None,
) -> list[FileCheck]:
    """One look at all of a set; none when it is not there. What was `good` at the first look is not read again, and
    all else another way than then."""
    stored = _stored_files(repository, key)
    if MANIFEST not in stored:
        return []
    try:
        body = read_manifest(repository, key)
    except PlatformOpsError as error:
        return [FileCheck(MANIFEST, _blame(error), stored[MANIFEST], None, str(error))]
    return _check_files(repository, body, stored, progress, good)


def _settled(repository: Repository, first: list[FileCheck], second: list[FileCheck]) -> list[FileCheck]:
    """What the second look found; it is bad only where the first found the very same."""
    before = {check.name: check for check in first}
    where = repository.store.address
    checks = []
    for check in second:
        known = before.get(check.name)
        if known == check:
            checks.append(check)
        elif check.finding == "equal":
            detail = f"is equal at the second reading, and was not at the first: {where} changes its answers"
            checks.append(replace(check, detail=detail, unsteady=True))
        else:
            detail = f"{check.detail}, and the first reading said otherwise: {where} changes its answers"
            checks.append(replace(check, finding="unreadable", detail=detail, unsteady=True))
    return checks


def _stored_files(repository: Repository, key: SetKey) -> dict[str, int]:
    return {stored.key.removeprefix(key.prefix): stored.size for stored in repository.store.list(key.prefix)}


def _check_files(
    repository: Repository,
    body: Body,
    stored: dict[str, int],
    progress: Callable[[str], None] | None,
    good: Mapping[str, FileCheck] | None,
) -> list[FileCheck]:
    checks: list[FileCheck] = []
    for entry in body.files:
        if good and entry.name in good and stored.get(entry.name) == entry.size:
            checks.append(good[entry.name])
            continue
        check = _check_file(repository, body.key, entry, stored.get(entry.name), again=good is not None)
        checks.append(check)
        if progress:
            progress(f"{body.key}/{entry.name}: {check.detail}")
    known = {entry.name for entry in body.files} | {MANIFEST}
    for name in sorted(stored.keys() - known):
        # `gunzip -c *.sql.gz | psql` would run it, so a file more is as bad as a file less.
        checks.append(FileCheck(name, "extra", stored[name], None, "is not in the manifest"))
    return checks


def _check_file(repository: Repository, key: SetKey, entry: FileEntry, size: int | None, *, again: bool) -> FileCheck:
    if size is None:
        return FileCheck(entry.name, "missing", None, entry.size, "is missing")
    if size != entry.size:
        detail = f"has {size} bytes where the manifest says {entry.size}"
        return FileCheck(entry.name, "differs", size, entry.size, detail)
    try:
        read, digest = hashed(repository.store, key.prefix + entry.name, again=again)
    except PlatformOpsError as error:
        detail, unsteady = f"could not be read: {error}", isinstance(error, UnsteadyStore)
        return FileCheck(entry.name, _blame(error), size, entry.size, detail, unsteady=unsteady)
    if read != size:
        detail = f"could be read to byte {read} only, of {size} that are stored"
        return FileCheck(entry.name, "unreadable", size, entry.size, detail)
    if digest != entry.sha256:
        return FileCheck(entry.name, "differs", size, entry.size, "has other bytes than the manifest says", digest)
    return FileCheck(entry.name, "equal", size, entry.size, "is equal")


def _blame(error: PlatformOpsError) -> Finding:
    """What an error says about the set: only what its own bytes are is held against it."""
    return "differs" if isinstance(error, DamagedSet) else "unreadable"


def _report(repository: Repository, key: SetKey, checks: list[FileCheck], seconds: float) -> VerifyResult:
    findings = {check.finding for check in checks}
    result: Result = "failed" if findings.intersection(_BAD) else "passed"
    if result == "passed" and "unreadable" in findings:
        result = "unverified"
    read = sum(check.stored_size or 0 for check in checks if check.finding == "equal")
    return VerifyResult(key, result, _sentence(repository, key, result, checks), tuple(checks), read, seconds)


def _sentence(repository: Repository, key: SetKey, result: Result, checks: list[FileCheck]) -> str:
    where = f"{key} in {repository.store.address}"
    if result == "passed":
        unsteady = [check for check in checks if check.unsteady]
        unsteady_note = (
            f"; {unsteady[0].name} {unsteady[0].detail}, look at its disks and the network to it" if unsteady else ""
        )
        return f"{where} is equal to its manifest: {len(checks)} files{unsteady_note}."
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
