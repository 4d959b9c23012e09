"""Verify: read what is stored again and compare it with the manifest, size by size and hash by hash.

*failed* means the bytes are shown to be wrong, missing or not of this set. What could not be read at
the moment, or not be judged here, is *unverified*: neither good nor bad.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Literal

from engine.errors import DamagedSet, OperationFailed, PlatformOpsError
from engine.sets.catalogue import Catalogue, StoredSet, catalogue, measured
from engine.sets.keys import MANIFEST, SetKey, VerdictKey
from engine.sets.manifest import Body, FileEntry, read_manifest
from engine.sets.verdicts import record_verdict
from engine.stores.base import Store

Result = Literal["passed", "failed", "unverified"]
Finding = Literal["equal", "differs", "missing", "extra", "unreadable"]

_CHUNK = 2**20
_NEVER = datetime.min.replace(tzinfo=UTC)
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


@dataclass(frozen=True, slots=True)
class VerifyRun:
    """Several sets' verification: `left` sets did not fit into the byte budget and are next; `where` are the
    addresses of the stores that were looked into."""

    result: Result
    reports: tuple[VerifyReport, ...]
    read: int
    left: int
    where: tuple[str, ...] = ()


def verify_set(
    store: Store, key: SetKey, digest_key: str | None = None, progress: Callable[[str], None] | None = None
) -> VerifyReport:
    """Read one set again, 1 MiB at a time, and compare it with its manifest. Writes nothing.

    Raises:
        OperationFailed: there is no such set.
        PlatformOpsError: the store cannot be listed.
    """
    report = _verified(store, key, digest_key, progress)
    if report is None:
        raise OperationFailed(
            f"There is no set {key} in {store.address}; `list` shows those that are stored."
        )
    return report


def verify_and_record(
    store: Store,
    key: SetKey,
    now: datetime,
    digest_key: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> VerifyReport:
    """Verify one set and write the verdict; the report names it. `now` is the time of the call.

    Raises:
        PlatformOpsError: see `verify_set`, or the verdict cannot be written.
    """
    clock = _going_on(now)
    return _recorded(store, verify_set(store, key, digest_key, progress), clock(), digest_key)


def verify_stored(
    store: Store,
    now: datetime,
    byte_budget: int,
    server: str | None = None,
    digest_key: str | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    database: str | None = None,
) -> VerifyRun:
    """Verify what was verified least recently, up to `byte_budget` bytes but at least one set.

    `server` and `database` name whose sets; None are all of them.

    Never verified sets come first, the newest of them first; then the oldest verification. Each set's
    verdict is written when it is known, so a killed run loses only the set it was at. `now` is the time of the call.

    Raises:
        PlatformOpsError: the store cannot be listed or written.
    """
    clock = _going_on(now)
    due = verification_order(catalogue(store, server, digest_key=digest_key))
    due = [one for one in due if database in (None, one.key.database)]
    chosen = _within(store, due, byte_budget)
    reports: list[VerifyReport] = []
    for one in chosen:
        report = _verified(store, one.key, digest_key, progress)
        if report:  # None: pruned since it was listed
            reports.append(_recorded(store, report, clock(), digest_key))
    return VerifyRun(
        worst(reports),
        tuple(reports),
        sum(report.read for report in reports),
        len(due) - len(chosen),
        (store.address,),
    )


def worst(reports: Iterable[VerifyReport]) -> Result:
    """The result of several sets together. None at all shows nothing: a lost disk may look like an empty store."""
    results = {report.result for report in reports}
    if "failed" in results:
        return "failed"
    return "passed" if results == {"passed"} else "unverified"


def verification_order(stored: Catalogue) -> list[StoredSet]:
    """All sets, the one to verify next first. An attempt that showed nothing counts as a turn taken."""
    last: dict[tuple[str, str], datetime] = {}
    for verdict in stored.verdicts:
        if verdict.kind == "verify":
            place = (verdict.server, verdict.set_id)
            last[place] = max(verdict.at, last.get(place, _NEVER))
    newest_first = sorted(stored.sets, key=lambda one: one.created, reverse=True)
    return sorted(newest_first, key=lambda one: last.get((one.key.server, one.key.set_id), _NEVER))


def _verified(
    store: Store, key: SetKey, digest_key: str | None, progress: Callable[[str], None] | None
) -> VerifyReport | None:
    """The report; None when there is no such set, or no longer."""
    began = monotonic()
    stored = _stored_files(store, key)
    if MANIFEST not in stored:
        return None
    try:
        body = read_manifest(store, key, digest_key)
    except PlatformOpsError as error:
        checks = [FileCheck(MANIFEST, _blame(error), stored[MANIFEST], None, str(error))]
    else:
        checks = _check_files(store, body, stored, progress)
    report = _report(store, key, checks, monotonic() - began)
    if report.result != "passed" and MANIFEST not in _stored_files(store, key):
        return None  # pruned while it was read: its files are gone for a good reason
    return report


def _going_on(now: datetime) -> Callable[[], datetime]:
    """A clock that shows `now` at first. A run takes hours, and of two verdicts the newer one counts."""
    began = monotonic()
    return lambda: now + timedelta(seconds=monotonic() - began)


def _recorded(store: Store, report: VerifyReport, read: datetime, digest_key: str | None) -> VerifyReport:
    """With a verdict of the time when the set had been `read`."""
    key = VerdictKey(report.key.server, report.key.set_id, read, "verify", report.result)
    return replace(report, verdict=str(record_verdict(store, key, _evidence(report), digest_key)))


def _within(store: Store, due: Iterable[StoredSet], byte_budget: int) -> list[StoredSet]:
    chosen: list[StoredSet] = []
    for one in measured(store, due):
        byte_budget -= one.size or 0
        if chosen and byte_budget < 0:
            break
        chosen.append(one)
    return chosen


def _stored_files(store: Store, key: SetKey) -> dict[str, int]:
    return {stored.key.removeprefix(key.prefix): stored.size for stored in store.list(key.prefix)}


def _check_files(
    store: Store, body: Body, stored: dict[str, int], progress: Callable[[str], None] | None
) -> list[FileCheck]:
    checks: list[FileCheck] = []
    for entry in body.files:
        check = _check_file(store, body.key, entry, stored.get(entry.name))
        checks.append(check)
        if progress:
            progress(f"{body.key}/{entry.name}: {check.detail}")
    known = {entry.name for entry in body.files} | {MANIFEST}
    for name in sorted(stored.keys() - known):
        # `gunzip -c *.sql.gz | psql` would run it, so a file more is as bad as a file less.
        checks.append(FileCheck(name, "extra", stored[name], None, "is not in the manifest"))
    return checks


def _check_file(store: Store, key: SetKey, entry: FileEntry, size: int | None) -> FileCheck:
    if size is None:
        return FileCheck(entry.name, "missing", None, entry.size, "is missing")
    if size != entry.size:
        detail = f"has {size} bytes where the manifest says {entry.size}"
        return FileCheck(entry.name, "differs", size, entry.size, detail)
    try:
        read, digest = _hash(store, key.prefix + entry.name)
    except PlatformOpsError as error:
        return FileCheck(entry.name, _blame(error), size, entry.size, f"could not be read: {error}")
    if read != size:
        detail = f"could be read to byte {read} only, of {size} that are stored"
        return FileCheck(entry.name, "unreadable", size, entry.size, detail)
    if digest != entry.sha256:
        return FileCheck(entry.name, "differs", size, entry.size, "has other bytes than the manifest says")
    return FileCheck(entry.name, "equal", size, entry.size, "is equal")


def _hash(store: Store, key: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with store.reader(key) as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _blame(error: PlatformOpsError) -> Finding:
    """What an error says about the set: only what its own bytes are is held against it."""
    return "differs" if isinstance(error, DamagedSet) else "unreadable"


def _report(store: Store, key: SetKey, checks: list[FileCheck], seconds: float) -> VerifyReport:
    findings = {check.finding for check in checks}
    result: Result = "failed" if findings.intersection(_BAD) else "passed"
    if result == "passed" and "unreadable" in findings:
        result = "unverified"
    read = sum(check.stored_size or 0 for check in checks if check.finding == "equal")
    return VerifyReport(key, result, _sentence(store, key, result, checks), tuple(checks), read, seconds)


def _sentence(store: Store, key: SetKey, result: Result, checks: list[FileCheck]) -> str:
    where = f"{key} in {store.address}"
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


def _evidence(report: VerifyReport) -> dict[str, object]:
    """What the verdict keeps: only the files that are not equal, so that it stays small."""
    return {
        "set": str(report.key),
        "sentence": report.sentence,
        "files": len(report.checks),
        "equal": sum(check.finding == "equal" for check in report.checks),
        "not_equal": [asdict(check) for check in report.checks if check.finding != "equal"][:1000],
        "read": report.read,
        "seconds": round(report.seconds, 3),
    }
