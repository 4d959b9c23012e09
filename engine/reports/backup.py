"""The report of a backup: what was stored, how big, how long, what is missing, what was let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from engine.progress import counted, readable_bytes, readable_seconds
from engine.reports.prune import deleted_table, freed
from engine.run_state import ENDED_WELL, RunState
from engine.sources.registry import kind_named, type_of_kind
from engine.words.report import Report, Table, foremost
from engine.words.run_report import going_step

if TYPE_CHECKING:
    from engine.operations.backup_result import BackupResult
    from engine.sources.item import Item, StoredItem
    from engine.sources.kind import Facts

_SHOWN = 200


def backup_report(result: BackupResult, state: RunState = ENDED_WELL) -> Report:
    """What a backup did, or did so far; for the command line and for the flow's artifact."""
    failed = tuple((item.label, str(error)) for item, error in result.failures)
    return Report(
        title=f"Backup of {result.source}",
        sentence=_sentence(result, state),
        facts=_facts(result),
        tables=(
            _stored_table(result),
            *(table for one in result.stored for table in one.facts.details()),
            Table("Failed", ("what", "why"), failed),
            Table(
                "Unchanged",
                ("what", "as in"),
                tuple((item.label, one.since.set_id) for item, one in result.unchanged),
            ),
            Table("Not in the backup", ("what",), tuple((what,) for what in result.missing[:_SHOWN])),
            _copy_table(result),
            *_pruned(result),
        ),
        next_steps=(going_step(),) if state.going else _next_steps(result, state),
    )


def plan_report(result: BackupResult, todo: Sequence[Item], lacks: Sequence[str]) -> Report:
    """What a backup would store, told before anything is read."""
    failed = {item for item, _ in result.failures}
    good = [item for item in todo if item not in failed]
    skipped = tuple(f"{one.kind} {one.name}: {one.skipped}" for one in result.found if one.skipped)
    of = counted(len(good), _noun(todo), len(todo) if failed else None)
    return Report(
        title=f"Backup of {result.source}: the plan",
        sentence=f"{of} would be stored in {result.store}; nothing was read.",
        tables=(
            Table(
                "To be stored",
                ("what", "size"),
                tuple((one.label, readable_bytes(one.size)) for one in good),
                right=("size",),
            ),
            Table("Would fail", ("what", "why"), tuple((item.label, str(error)) for item, error in result.failures)),
            Table("Not in the backup", ("what",), tuple((what,) for what in (*skipped, *lacks)[:_SHOWN])),
        ),
        next_steps=tuple(result.remarks),
    )


def _sentence(result: BackupResult, state: RunState) -> str:
    own = [one for one in result.stored if not one.item.closes]
    failed = [item for item, _ in result.failures if not item.closes]
    of = None if state == ENDED_WELL and not failed else sum(not (one.skipped or one.closes) for one in result.found)
    text = (
        f"{counted(len(own), _noun([one.item for one in own] or result.found), of)}{_contents(own)} stored in {result.store} "
        f"({readable_bytes(result.stored_bytes)}, {readable_seconds(result.seconds)})"
    )
    if result.unchanged:
        text += f"; {counted(len(result.unchanged), _noun(item for item, _ in result.unchanged))} unchanged"
    if state.going:
        return f"Going on: {text}{f', {len(failed):,} failed' if failed else ''}."
    whole = next((f"{kind_named(one.kind).noun} set" for one in result.found if one.closes), "")
    if failed:
        return (
            f"{counted(len(failed), _noun(failed))} failed; {text}{f', and no {whole} was published' if whole else ''}."
        )
    if result.failures:
        return f"The {whole} failed; {text}."
    if state.problem:
        too = f", {f'the {whole} too' if result.closed else f'no {whole}'}" if whole else ""
        return f"Failed: {state.problem} What is stored all the same: {text}{too}."
    if whole:
        text += f", as one {whole} and one set each" if result.closed else f", as one set each, without a {whole}"
    return f"{text}.{_gone(result)}"


def _noun(items: Iterable[Item]) -> str:
    """What people call these."""
    nouns = {kind_named(item.kind).noun for item in items if not item.closes}
    return nouns.pop() if len(nouns) == 1 else "set"


def _contents(stored: Sequence[StoredItem]) -> str:
    """How much is in them: of what each kind has most of."""
    totals: Counter[str] = Counter()
    for one in stored:
        totals.update(dict(list(one.facts.counts().items())[-1:]))
    return f" with {' and '.join(counted(count, noun) for noun, count in totals.items())}" if totals else ""


def _gone(result: BackupResult) -> str:
    names = [repr(one.name) for one in result.found if one.gone]
    return f" Dropped while the backup ran, and in no set of it: {', '.join(names)}." if names else ""


def _facts(result: BackupResult) -> tuple[tuple[str, str], ...]:
    how = "encrypted" if result.encrypted else "not encrypted"
    closed = ((f"{kind_named(one.key.kind).noun} set", str(one.key)),) if (one := result.closed) else ()
    of_kind: dict[type[Facts], list[Facts]] = {}
    for stored in result.stored:
        of_kind.setdefault(type(stored.facts), []).append(stored.facts)
    together = (line for kind, facts in of_kind.items() for line in kind.of_all(facts))
    return (*closed, ("stored", f"{readable_bytes(result.stored_bytes)}, {how}"), *together)


def _stored_table(result: BackupResult) -> Table:
    shown = foremost(result.stored, lambda one: one.seconds, lambda one: one.body.size)
    left = len(result.stored) - len(shown)
    counts = tuple(dict.fromkeys(noun for one in shown for noun in one.facts.counts()))
    cells = tuple(dict.fromkeys(name for one in shown for name in one.facts.cells()))
    own = (*(f"{noun}s" for noun in counts), *cells)
    return Table(
        "Stored",
        ("what", *own, "stored", "time", "set"),
        tuple(_row(one, counts, cells) for one in shown),
        right=(*own, "stored", "time"),
        more=f"and {counted(left, 'more set')}; those that took longest and the largest are shown" if left else "",
    )


def _row(one: StoredItem, counts: Sequence[str], cells: Sequence[str]) -> tuple[str, ...]:
    found = one.facts.counts()
    own = (
        *(f"{found[noun]:,}" if noun in found else "-" for noun in counts),
        *(one.facts.cells().get(name, "-") for name in cells),
    )
    return (one.item.label, *own, readable_bytes(one.body.size), readable_seconds(one.seconds), one.key.set_id)


def _copy_table(result: BackupResult) -> Table:
    return Table(
        "Further stores",
        ("store", "sets copied", "sent", "still missing", "pruned there"),
        tuple(
            (
                run.store,
                f"{sum(report.files > 0 for report in run.copied):,}",
                readable_bytes(run.bytes),
                "not known" if run.failure else f"{len(run.lacking):,}",
                f"{len(run.pruned.deleted) if run.pruned else 0:,}",
            )
            for run in result.copies
        ),
        right=("sets copied", "sent", "still missing", "pruned there"),
    )


def _pruned(result: BackupResult) -> tuple[Table, ...]:
    if result.plan is None or result.pruned is None:
        return ()
    return (deleted_table(result.plan, result.pruned),)


def _next_steps(result: BackupResult, state: RunState) -> tuple[str, ...]:
    steps = [
        _retention(result, state.problem),
        *(run.problem for run in result.copies),
        *result.remarks,
        *_configuration(result),
    ]
    if result.failures or state.problem:
        steps.append("Correct what failed and run the backup again; the sets that are listed here are whole.")
    if gone := next((one for one in result.found if one.gone), None):
        steps.append(
            "Something was dropped while the backup ran. If that was a mistake, an earlier set brings it back "
            f"(platformctl restore --{kind_named(gone.kind).noun} NAME)."
        )
    if result.missing:
        steps.append("Restored elsewhere, what is listed as not in the backup has to come from somewhere else.")
    if result.stored:
        steps.append(
            "The sets are recorded: stored with their proof. A drill (platformctl drill, restore-drill) proves them."
        )
    return tuple(step for step in steps if step)


def _configuration(result: BackupResult) -> Iterator[str]:
    if result.stored and not result.encrypted:
        secrets = type_of_kind(result.stored[0].key.kind).secrets
        yield (
            f"The store {result.store} is not encrypted: who can read it reads all data{', and ' if secrets else ''}"
            f"{secrets}; give [stores.{result.store}] recipients (platformctl keygen)."
        )


def _retention(result: BackupResult, problem: str) -> str:
    if result.prune_failure:
        return f"Retention could not be applied: {result.prune_failure}"
    if result.plan is None:
        failed = result.failures or problem
        why = "a backup that failed lets nothing go" if failed else "retention was not asked for"
        return f"Nothing was pruned: {why}."
    if result.plan.doubt:
        return f"Nothing was pruned: {result.plan.doubt}."
    if result.pruned is None or not result.pruned.deleted:
        return f"Nothing was pruned; {_staying(len(result.plan.kept))}"
    return f"{freed(result.pruned)} {_staying(len(result.plan.kept))}"


def _staying(sets: int) -> str:
    return f"{counted(sets, 'set')} {'stays' if sets == 1 else 'stay'}."
