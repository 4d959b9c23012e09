"""platformctl realm diff"""

from __future__ import annotations

import click

from engine.cli.completing import sets
from engine.cli.invocation import Invocation, operation, source_option, store_option
from engine.cli.outcome import Outcome
from engine.cli.selection import Found, find_set
from engine.errors import ConfigurationError
from engine.repository.manifest import read_manifest
from engine.sources.keycloak.diff import changes, changes_table, summary
from engine.sources.keycloak.kinds import REALM
from engine.sources.keycloak.realm import Realm
from engine.sources.keycloak.stored import stored_realm
from engine.words.report import Report


@click.command(
    help="""Show what changed in a realm from set A to set B: names of things and fields, never what they say.

    Without B it is the newest set of the same realm; without A the one before B. Needs the private key where
    the sets are encrypted. A, B: as in `platformctl show`.

    \b
    Example:
      platformctl realm diff --realm kohub
      platformctl realm diff 20260207T170000Z-3f9a1c
    """
)
@click.argument("first", metavar="[A]", default="", shell_complete=sets)
@click.argument("second", metavar="[B]", default="newest", shell_complete=sets)
@click.option("--realm", metavar="NAME", default="", help="Whose sets, where no set is named by its id.")
@source_option("Whose sets; may be left out when there is one only.")
@store_option("Where the sets are; else the source's own store.")
@operation
def command(
    invocation: Invocation, first: str, second: str, realm: str, source: str | None, store: str | None
) -> Outcome:
    def find(text: str, name: str) -> Found:
        wanted = (REALM.name, name) if name else None
        found = find_set(invocation, text, source=source, store=store, wanted=wanted)
        if found.set.key.kind != REALM.name:
            raise ConfigurationError(f"{found.set.key} is no set of a realm.")
        return found

    before = find(first, realm) if first else None
    after = find(second, realm or (before.set.key.name if before else ""))
    before = before or find(_one_before(after), after.set.key.name)
    found = changes(_realm(before), _realm(after))
    document = {
        "before": str(before.set.key),
        "after": str(after.set.key),
        "changes": [
            {"what": one.thing.part, "name": one.thing.name, "how": one.how, "fields": list(one.fields)}
            for one in found
        ],
    }
    sentence = f"{after.set.key.name}: {summary(found)}, from {before.set.key.set_id} to {after.set.key.set_id}."
    return Outcome(
        "realm diff", document, Report("Changes of a realm", sentence, tables=(changes_table("Changes", found),))
    )


def _one_before(after: Found) -> str:
    sets = after.catalogue.assets[after.set.key.asset]
    older = [one.key.set_id for one in sets if one.key.set_id < after.set.key.set_id]
    if not older:
        raise ConfigurationError(f"{after.set.key} is the first set of its realm; there is none to compare it with.")
    return older[0]


def _realm(found: Found) -> Realm:
    return stored_realm(found.repository, read_manifest(found.repository, found.set.key))
