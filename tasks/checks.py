"""Prove and verify what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from prefect import task
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from engine.errors import CouldNotVerify, OperationFailed, names_as_called
from engine.operations import drill
from engine.operations.assets import assets_meant, set_meant
from engine.reports.drill import drill_report, drills_report
from engine.reports.verify import verify_report, verify_sentence
from engine.repository.catalogue import catalogue
from engine.repository.findings import DrillResult
from engine.repository.freshness import proven_by
from engine.repository.keys import Asset
from engine.repository.parsing import parse_set
from engine.repository.past_drills import past_drills as read_past_drills
from engine.repository.verify import VerifyRun, verify_stored
from tasks.artifacts import Record
from tasks.forms import chosen
from tasks.opening import host_of, open_store, source_settings, store_of
from tasks.running import SAMPLED, BadVerdict, found_by, logged_progress, worth_retrying
from tasks.watching import announce

_GIB = 1 << 30


@task(
    task_run_name="choose {which} of {source}",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=worth_retrying,
)
def choose_sets(source: str, store: str, what: str, which: str) -> tuple[str, ...]:
    """The keys of the sets an operator means: `what` is a kind, or a kind and a name such as `db/kohub`; where nothing is
    named, of a source that has several things the set of each."""
    repository = open_store(store_of(source, store))
    stored = catalogue(repository, source)
    kind, _, name = what.partition("/")
    assets = (
        [stored.called(Asset(source, kind, name))]
        if what
        else assets_meant(chosen(which), source_settings(source), source, stored)
    )
    return tuple(str(set_meant(repository, stored, chosen(which), asset).key) for asset in assets)


def drill_set(set_key: str, source: str, store: str = "") -> DrillResult:
    """Restore into something nobody reaches and compare. A bad backup is a verdict, not an error."""
    drill_task = _drill.with_options(
        task_run_name=f"drill {names_as_called(set_key)}".replace("{", "(").replace("}", ")")
    )
    return cast(DrillResult, found_by(drill_task(set_key, source, store, return_state=True)))


@task
def _drill(set_key: str, source: str, store: str) -> DrillResult:
    repository, host = open_store(store_of(source, store)), host_of(source_settings(source))
    result = drill.drill_set(repository, parse_set(set_key), str(flow_run.name), logged_progress(), host)
    if result.result not in ("passed", "sampled"):
        raise BadVerdict(result.sentence, result)
    return result


@task(task_run_name="read the past drills of {source}")
def past_drills(set_key: str, source: str, store: str = "") -> tuple[Mapping[str, Any], ...]:
    """What the last drills of the same thing found, newest first."""
    repository = open_store(store_of(source, store))
    return read_past_drills(repository, catalogue(repository, source).verdicts, parse_set(set_key).asset)


def record_drill(record: Record, results: Sequence[DrillResult], trend: tuple[Mapping[str, Any], ...]) -> None:
    """Put the verdict with its evidence into the record; of several the verdicts, and the evidence of what is bad."""
    record.report = drill_report(results[0], trend) if len(results) == 1 else drills_report(results)


@task(task_run_name="see what is proven of {source}")
def proven(set_key: str, source: str, store: str = "") -> tuple[Asset, ...]:
    """What a passed drill proves: that of which the set is, and all of the source where nothing else was lacking."""
    return proven_by(catalogue(open_store(store_of(source, store)), source), parse_set(set_key))


def require_all_equal(results: Sequence[DrillResult], source: str, store: str = "") -> State[Any]:
    """The state a run of several drills ends in; for the first that did not pass it raises as `require_passed`."""
    for result in results:
        if result.result == "passed":
            announce("proven", proven(result.set_key, source, store))
    worst = next((one for one in results if one.result != "passed"), None)
    if worst:
        return _ends_as(worst)
    return Completed(message=results[-1].sentence if len(results) == 1 else drills_report(results).sentence)


def _ends_as(result: DrillResult) -> State[Any]:
    """The state a drill that did not pass ends in: Completed, called `Sampled`, when only a sample was compared.

    Raises:
        OperationFailed, CouldNotVerify: as `require_passed`.
    """
    if result.result == "sampled":
        return Completed(name=SAMPLED, message=result.sentence)
    _require_passed(result.result, result.sentence)
    return Completed(message=result.sentence)


def require_verified(run: VerifyRun) -> None:
    """End the run as Failed, with the evidence in its message, unless all passed; raises as a drill's run."""
    announce("verified", [one.key.asset for one in run.reports if one.result == "passed"])
    _require_passed(run.result, verify_sentence(run))


def _require_passed(result: str, sentence: str) -> None:
    if result == "failed":
        raise OperationFailed(sentence)
    if result != "passed":
        raise CouldNotVerify(sentence)


def verify_least_recent(store: str, budget_gib: float) -> VerifyRun:
    """Read what was verified least recently. A bad set is a verdict, not an error."""
    return cast(VerifyRun, found_by(_verify(store, budget_gib, return_state=True)))


@task(task_run_name="verify up to {budget_gib} GiB of {store}", retries=1, retry_condition_fn=worth_retrying)
def _verify(store: str, budget_gib: float) -> VerifyRun:
    run = verify_stored(open_store(store), datetime.now(UTC), int(budget_gib * _GIB), progress=logged_progress())
    if run.result != "passed":
        raise BadVerdict(verify_sentence(run), run)
    return run


def record_verification(record: Record, run: VerifyRun) -> None:
    """Put into the record what was read and what was not equal."""
    record.report = verify_report(run)
