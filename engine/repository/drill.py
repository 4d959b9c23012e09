"""The frame of a drill, whatever is kept: what it found, the verdict that follows, and who is to blame.

Only a drill proves a set. How one is restored into something that nobody reaches and compared, its kind knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from engine.errors import CouldNotVerify, DamagedSet, PlatformOpsError, UnsteadyStore
from engine.progress import counted
from engine.repository.body import Body
from engine.repository.findings import DrillResult, Findings
from engine.repository.keys import SetKey
from engine.repository.manifest import read_manifest
from engine.repository.reading import steadily
from engine.repository.repository import Repository
from engine.repository.verdict_keys import VerdictKey
from engine.repository.verdicts import record_verdict

Prove = Callable[[Body, Findings], None]
"""Restores the set of a checked manifest into something nobody reaches, compares it with its proof, and puts what it
sees into the findings. Raises DamagedSet where the set does not restore, CouldNotVerify where nothing can be shown."""


def drill(repository: Repository, key: SetKey, prove: Prove) -> DrillResult:
    """Drill a set; the verdict is stored beside it.

    It does not raise for a bad backup: that is a verdict. `unverified` means nothing was shown.
    """
    findings, result = _drilled(repository, key, prove)
    verdict = VerdictKey(key, datetime.now(UTC), "drill", result.verdict)
    record_verdict(repository, verdict, _storable(result, findings).model_dump(mode="json"))
    return result


def _drilled(repository: Repository, key: SetKey, prove: Prove) -> tuple[Findings, DrillResult]:
    """What was found, and what follows. Where the store changes its answers, all is begun again, and that is remarked."""
    found: list[Findings] = []
    unsteady: dict[str, str] = {}

    def once(again: bool) -> DrillResult:
        del again  # what is read, is read again the other way where it first differs
        found.append(Findings(key))
        try:
            return _judged(repository, found[-1], prove)
        except UnsteadyStore as error:
            unsteady["begun again"] = str(error)
            raise

    try:
        result = steadily(once)
    except DamagedSet as error:
        result = _blamed(repository, found[-1], error)
    except PlatformOpsError as error:
        result = found[-1].result("unverified", str(error))
    return found[-1], result.model_copy(update={"remarks": {**result.remarks, **unsteady}})


def _judged(repository: Repository, findings: Findings, prove: Prove) -> DrillResult:
    body = findings.body = read_manifest(repository, findings.key)
    findings.sample_percent = body.sample_percent
    _nothing_but(repository, body)
    prove(body, findings)
    if not (findings.compared or findings.differences):
        raise CouldNotVerify(f"{findings.key}: nothing of it was compared, so nothing was shown.")
    if findings.differences:
        return findings.result("failed", _failed(findings))
    return findings.result("sampled" if findings.sample_percent < 100 else "passed", _equal(findings))


def _blamed(repository: Repository, findings: Findings, error: DamagedSet) -> DrillResult:
    """What a failure says of the set: nothing when the set itself is gone."""
    key = findings.key
    try:
        there = key.manifest in repository.store.keys(key.prefix)
    except PlatformOpsError as other:
        return findings.result("unverified", str(other))
    if not there:
        return findings.result(
            "unverified",
            f"{key} is not, or no longer, in {repository.store.address}: it has no manifest, as a set that was "
            "pruned or was never finished; `list` shows those that are stored.",
        )
    return findings.result("failed", str(error))


def _storable(result: DrillResult, findings: Findings) -> DrillResult:
    """The result as its verdict file holds it: of an encrypted set, what differs is named, not quoted; not even named where
    names are private."""
    if findings.body is None or not findings.body.encrypted:
        return result
    hidden = {"expected": "(in the encrypted set)", "found": "(see the run's own report)"}
    hidden |= {"name": "(not shown)"} if findings.private else {}
    named = tuple(difference.model_copy(update=hidden) for difference in result.differences)
    sentence = _failed(replace(findings, differences=named)) if named and findings.private else result.sentence
    return result.model_copy(update={"differences": named, "sentence": sentence})


def _nothing_but(repository: Repository, body: Body) -> None:
    """A file more is as bad as a file less: whoever restores with stock tools would take it too.

    Raises:
        DamagedSet: something lies in the set that its manifest does not name.
    """
    named = {body.key.manifest, *(body.key.prefix + file.name for file in body.files)}
    more = sorted(set(repository.store.keys(body.key.prefix)) - named)
    if more and (more := sorted(set(repository.store.keys(body.key.prefix)).intersection(more))):
        raise DamagedSet(
            f"{more[0]} in {repository.store.address} is not in the manifest of its set, and stock tools would restore it "
            "too; use another set, and see who put it there."
        )


def _failed(findings: Findings) -> str:
    first = findings.differences[0]
    return (
        f"{findings.key} does not restore to what was backed up: {counted(len(findings.differences), 'difference')}, "
        f"first {first.kind} {first.name} of {first.where or 'the source itself'}; use another set and look into this one."
    )


def _equal(findings: Findings) -> str:
    totals: dict[str, int] = {}
    for one in findings.compared:
        for noun, count in one.counts.items():
            totals[noun] = totals.get(noun, 0) + count
    parts = [counted(len(findings.compared), findings.noun), *(counted(n, noun) for noun, n in totals.items() if n)]
    sentence = f"{', '.join(parts[:-1])} and {parts[-1]} came back" if len(parts) > 1 else f"{parts[0]} came back"
    if findings.sample_percent == 100:
        sentence += " equal"
    else:
        sentence += (
            f"; all of it was counted, but only {findings.sample_percent} % was compared, and is equal: a sample does not "
            "prove the set"
        )
    if lacks := findings.missing:
        sentence += f"; not in the set: {'; '.join(lacks[:5])}{' ...' if len(lacks) > 5 else ''}"
    return sentence
