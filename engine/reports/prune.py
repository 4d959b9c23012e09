"""The report of retention: what goes, and why each other set stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.progress import counted, readable_bytes
from engine.reports.listing import newest_of_each
from engine.words.report import Report, Table
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.repository.prune import PruneResult
    from engine.repository.prune_plan import PrunePlan
    from engine.repository.retention import Decision

_HEADER = ("what", "state", "why", "size", "begun", "set")  # a narrow page cuts off the end


def prune_report(judged: Sequence[tuple[PrunePlan, PruneResult | None]]) -> Report:
    """What goes and what stays, for each source of each store; a plan without a report was only shown."""
    applied = any(done for _, done in judged)
    return Report(
        title="Pruned" if applied else "What pruning would do",
        sentence=" ".join(_sentence(plan, done) for plan, done in judged) or "There is nothing to judge.",
        tables=tuple(table for plan, done in judged for table in _tables(plan, done)),
        next_steps=_next_steps(judged, applied),
    )


def deleted_table(plan: PrunePlan, done: PruneResult) -> Table:
    """The sets that are gone, and why."""
    gone = set(done.deleted)
    rows = tuple(_row(decision) for decision in plan.decisions if decision.set.key in gone)
    return Table(f"Pruned from {plan.address}", _HEADER, rows, right=("size",))


def freed(done: PruneResult) -> str:
    """What went, in one sentence."""
    message = f"{counted(len(done.deleted), 'set')} pruned, {readable_bytes(done.bytes_freed)} freed."
    if done.retained:
        message += f" {counted(len(done.retained), 'file')} retained by an object lock."
    if done.spared:
        message += f" {counted(len(done.spared), 'set')} spared: the store had changed since they were judged, or a drill reads them."
    return message


def _sentence(plan: PrunePlan, done: PruneResult | None) -> str:
    where = f"{plan.source} in {plan.address}:"
    doubt = done.doubt if done else plan.doubt
    if doubt:
        return f"{where} {doubt}."
    if done:
        return f"{where} {freed(done)}"
    size = plan.bytes_to_free
    bytes_to_free = "" if size is None else f" ({readable_bytes(size)})"
    going, staying = counted(len(plan.pruned), "set"), counted(len(plan.kept), "set")
    return f"{where} {going}{bytes_to_free} would go, {staying} would stay."


def _tables(plan: PrunePlan, done: PruneResult | None) -> tuple[Table, ...]:
    kept = [decision for decision in plan.decisions if decision.keep]
    shown = newest_of_each(kept)
    older = len(kept) - len(shown)
    stays = Table(
        f"Kept of {plan.source} in {plan.address}",
        _HEADER,
        tuple(map(_row, shown)),
        right=("size",),
        more=f"and {counted(older, 'older set')}: platformctl list --all says why each stays" if older else "",
    )
    if done:
        return deleted_table(plan, done), stays
    going = tuple(_row(decision) for decision in plan.decisions if not decision.keep)
    return Table(f"Would go of {plan.source} in {plan.address}", _HEADER, going, right=("size",)), stays


def _row(decision: Decision) -> tuple[str, ...]:
    one = decision.set
    size = "" if one.size is None else readable_bytes(one.size)
    whose, why = one.key.asset.label, "; ".join(decision.reasons)
    return whose, one.state, why, size, readable_time(one.created), one.key.set_id


def _next_steps(judged: Sequence[tuple[PrunePlan, PruneResult | None]], applied: bool) -> tuple[str, ...]:
    if applied:
        return ()
    if any(plan.doubt for plan, _ in judged):
        return ("Nothing was deleted. When the reason above is known and fine, start again with --even-so.",)
    if any(plan.pruned for plan, _ in judged):
        return ("Nothing was deleted yet; --delete (in the form: delete) does it.",)
    return ("Nothing is to be deleted.",)
