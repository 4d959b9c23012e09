"""platformctl show"""

from __future__ import annotations

from collections.abc import Sequence

import click

from engine.cli.completing import sets
from engine.cli.invocation import Invocation, operation, source_option, store_option
from engine.cli.kind_options import OneOfAKind, Wanted, of_kinds, one_of
from engine.cli.outcome import Outcome
from engine.cli.selection import find_set
from engine.reports.show import show_report
from engine.repository.manifest import read_manifest
from engine.repository.past_drills import seen_missing
from engine.sources.registry import kind_named


@click.command(
    cls=OneOfAKind,
    help="""Show one set: its files, what it lacks, and every verdict about it.

    SET is a key or an id as `list` prints it, the start of an id, or newest, newest-good or
    newest-proven (of the whole source, or of what is named).

    \b
    Example:
      platformctl show newest --database kohub
    """,
)
@click.argument("chosen", metavar="SET", default="newest", shell_complete=sets)
@source_option("Whose set; may be left out when there is one only.")
@store_option("Where the set is; else the source's own store.")
@operation
@of_kinds
def command(
    invocation: Invocation, chosen: str, source: str | None, store: str | None, wanted: Sequence[Wanted]
) -> Outcome:
    found = find_set(invocation, chosen, source=source, store=store, wanted=one_of(wanted))
    repository, key = found.repository, found.set.key
    body = read_manifest(repository, key)
    facts = kind_named(key.kind).facts_of(body)
    verdicts = found.catalogue.verdicts_of(key)
    lacks = tuple(dict.fromkeys((*body.missing, *seen_missing(repository, verdicts))))
    result = {
        "key": str(key),
        "store": repository.store.name,
        "state": found.set.state,
        "missing": lacks,
        "manifest": body.model_dump(mode="json"),
        "verdicts": [
            {"at": one.at.isoformat(), "check": one.check, "result": one.result, "key": str(one)} for one in verdicts
        ],
    }
    whole = body.model_copy(update={"missing": lacks})
    report = show_report(whole, facts, found.set.state, verdicts, repository.store.address)
    return Outcome("show", result, report)
