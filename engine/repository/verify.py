"""Verify: which stored sets are read again, and the verdict that each gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic

from engine.errors import OperationFailed
from engine.repository.catalogue import catalogue, measured
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.repository.stored import Catalogue, StoredSet
from engine.repository.verdict_keys import VerdictKey
from engine.repository.verdicts import record_verdict
from engine.repository.verify_set import Result, VerifyResult, verified
from engine.words.wording import called_alike

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class VerifyRun:
    """Several sets' verification: `left` sets did not fit into the byte budget and are next; `where` are the
    addresses of the stores that were looked into."""

    result: Result
    reports: tuple[VerifyResult, ...]
    read: int
    left: int
    where: tuple[str, ...] = ()


def verify_set(repository: Repository, key: SetKey, progress: Callable[[str], None] | None = None) -> VerifyResult:
    """Read one set again, 1 MiB at a time, and compare it with its manifest. Writes nothing.

    Raises:
        OperationFailed: there is no such set.
        PlatformOpsError: the store cannot be listed.
    """
    report = verified(repository, key, progress)
    if report is None:
        raise OperationFailed(
            f"There is no set {key} in {repository.store.address}; `list` shows those that are stored."
        )
    return report


def verify_and_record(
    repository: Repository, key: SetKey, now: datetime, progress: Callable[[str], None] | None = None
) -> VerifyResult:
    """Verify one set and write the verdict; the report names it. `now` is the time of the call.

    Raises:
        PlatformOpsError: see `verify_set`, or the verdict cannot be written.
    """
    clock = _going_on(now)
    return _recorded(repository, verify_set(repository, key, progress), clock())


def verify_stored(
    repository: Repository,
    now: datetime,
    byte_budget: int,
    source: str | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    wanted: tuple[str, str] | None = None,
) -> VerifyRun:
    """Verify what was verified least recently, up to `byte_budget` bytes but at least one set.

    `source` and `wanted` (a kind and a name) say whose sets; None are all of them.

    Never verified sets come first, the newest of them first; then the oldest verification. Each set's
    verdict is written when it is known, so a killed run loses only the set it was at. `now` is the time of the call.

    Raises:
        PlatformOpsError: the store cannot be listed or written.
    """
    clock = _going_on(now)
    due = verification_order(catalogue(repository, source))
    if wanted is not None:
        due = [one for one in due if one.key.kind == wanted[0] and called_alike(wanted[1], one.key.name)]
    chosen = _within(repository, due, byte_budget)
    reports: list[VerifyResult] = []
    for one in chosen:
        report = verified(repository, one.key, progress)
        if report:  # None: pruned since it was listed
            reports.append(_recorded(repository, report, clock()))
    return VerifyRun(
        worst(reports),
        tuple(reports),
        sum(report.read for report in reports),
        len(due) - len(chosen),
        (repository.store.address,),
    )


def worst(reports: Iterable[VerifyResult]) -> Result:
    """The result of several sets together. None at all shows nothing: a lost disk may look like an empty store."""
    results = {report.result for report in reports}
    if "failed" in results:
        return "failed"
    return "passed" if results == {"passed"} else "unverified"


def verification_order(stored: Catalogue) -> list[StoredSet]:
    """All sets, the one to verify next first. An attempt that showed nothing counts as a turn taken."""
    last: dict[SetKey, datetime] = {}
    for verdict in stored.verdicts:
        if verdict.check == "verify":
            last[verdict.set] = max(verdict.at, last.get(verdict.set, _NEVER))
    newest_first = sorted(stored.sets, key=lambda one: one.created, reverse=True)
    return sorted(newest_first, key=lambda one: last.get(one.key, _NEVER))


def _going_on(now: datetime) -> Callable[[], datetime]:
    """A clock that shows `now` at first. A run takes hours, and of two verdicts the newer one counts."""
    began = monotonic()
    return lambda: now + timedelta(seconds=monotonic() - began)


def _recorded(repository: Repository, report: VerifyResult, read: datetime) -> VerifyResult:
    """With a verdict of the time when the set had been `read`."""
    key = VerdictKey(report.key, read, "verify", report.result)
    return replace(report, verdict=str(record_verdict(repository, key, _evidence(report))))


def _within(repository: Repository, due: Iterable[StoredSet], byte_budget: int) -> list[StoredSet]:
    chosen: list[StoredSet] = []
    for one in measured(repository, due):
        byte_budget -= one.size or 0
        if chosen and byte_budget < 0:
            break
        chosen.append(one)
    return chosen


def _evidence(report: VerifyResult) -> dict[str, object]:
    """What the verdict keeps: only the files that are not equal, so that it stays small."""
    return {
        "sentence": report.sentence,
        "files": len(report.checks),
        "equal": sum(check.finding == "equal" for check in report.checks),
        "not_equal": [asdict(check) for check in report.checks if not check.is_well][:1000],
        "read": report.read,
        "seconds": round(report.seconds, 3),
    }
