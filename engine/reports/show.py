"""One set in words: what its manifest says, and what was found about it since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.progress import counted, readable_bytes
from engine.sources.registry import kind_named
from engine.words.report import Report, Table
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.repository.body import Body
    from engine.repository.verdict_keys import VerdictKey
    from engine.repository.verdicts import State
    from engine.sources.kind import Facts

_SHOWN = 1000


def show_report(body: Body, facts: Facts, state: State, verdicts: Sequence[VerdictKey], address: str) -> Report:
    """One set in words: what its manifest says, and what was found about it since."""
    noun = kind_named(body.kind).noun
    what = f"{noun} {body.name}" if body.name else f"the whole {noun}"
    return Report(
        title=f"Set {body.key}",
        sentence=(
            f"{what[0].upper()}{what[1:]} of {body.source} as it was on {readable_time(body.created)}, "
            f"{readable_bytes(body.size)} in {address}; it is {state}{_but(body, state)}."
        ),
        facts=_facts(body, facts),
        tables=(
            _files(body),
            Table("Not in the set", ("what",), tuple((what,) for what in body.missing)),
            *facts.tables(body),
            _verdicts(verdicts),
        ),
        next_steps=_next_steps(body, state),
    )


def _but(body: Body, state: State) -> str:
    if body.sample_percent < 100:
        return f"; its proof covers {body.sample_percent} % of the rows, so that no drill can prove it"
    if body.missing and state == "proven":
        return f", but not everything is in it ({counted(len(body.missing), 'thing')} below)"
    return ""


def _facts(body: Body, facts: Facts) -> tuple[tuple[str, str], ...]:
    sampled = f"{body.sample_percent} % of the rows, all counted"
    return (
        ("set id", body.set_id),
        *facts.shown(),
        ("encrypted", f"to {', '.join(body.recipients)}" if body.encrypted else "no"),
        ("proof", "all of it" if body.sample_percent == 100 else sampled),
        ("written by", f"platform-ops {body.product_version}"),
    )


def _files(body: Body) -> Table:
    rows = tuple((file.name, file.role, readable_bytes(file.size), file.sha256[:16]) for file in body.files[:_SHOWN])
    return Table("Files", ("file", "role", "size", "SHA-256 begins"), rows, right=("size",))


def _verdicts(verdicts: Sequence[VerdictKey]) -> Table:
    newest_first = sorted(verdicts, key=lambda one: one.at, reverse=True)
    rows = tuple((readable_time(one.at), one.check, one.result) for one in newest_first)
    return Table("Verdicts", ("time", "check", "result"), rows)


def _next_steps(body: Body, state: State) -> tuple[str, ...]:
    drill = f"platformctl drill {body.key}"
    if body.sample_percent < 100 and state != "failed":
        return (f"{drill} restores it and compares the sample; it cannot become proven.",)
    return {
        "recorded": (f"Not proven yet: {drill} restores it into a scratch server and compares.",),
        "verified": (f"Its bytes were read again and are equal; {drill} would prove that it restores.",),
        "proven": ("What is listed as not in the set has to come from somewhere else.",) if body.missing else (),
        "failed": ("Do not rely on this set: the verdicts above tell when it failed.",),
    }[state]
