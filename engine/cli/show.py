"""platformctl show"""

from __future__ import annotations

import click

from engine.cli.invocation import Invocation, operation, server_option, store_option
from engine.cli.outcome import Outcome
from engine.cli.selection import find_set
from engine.reports.drill import seen_missing
from engine.reports.listing import show_report
from engine.sets.reading import read_manifest


@click.command(
    help="""Show one set: its files, what it lacks, and every verdict about it.

    SET is a key or an id as `list` prints it, the start of an id, or newest, newest-good or
    newest-proven (of the cluster, or of --database).

    \b
    Example:
      platformctl show newest --database kohub
    """
)
@click.argument("chosen", metavar="SET", default="newest")
@server_option("Whose set; may be left out when there is one only.")
@click.option("--database", metavar="NAME", help="A set of this database; else of the whole cluster.")
@store_option("Where the set is; else the server's own store.")
@operation
def command(
    invocation: Invocation, chosen: str, server: str | None, database: str | None, store: str | None
) -> Outcome:
    found = find_set(invocation, chosen, server=server, store=store, database=database)
    key = found.set.key
    body = read_manifest(found.target, key)
    verdicts = [
        one for one in found.catalogue.verdicts if (one.server, one.set_id) == (key.server, key.set_id)
    ]
    lacks = tuple(dict.fromkeys((*body.missing, *seen_missing(found.target, verdicts))))
    result = {
        "key": str(key),
        "store": found.target.store.name,
        "state": found.set.state,
        "missing": lacks,
        "manifest": body.model_dump(mode="json"),
        "verdicts": [
            {"at": one.at.isoformat(), "kind": one.kind, "result": one.result, "key": str(one)}
            for one in verdicts
        ],
    }
    whole = body.model_copy(update={"missing": lacks})
    return Outcome("show", result, show_report(whole, found.set.state, verdicts, found.target.store.address))
