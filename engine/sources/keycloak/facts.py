"""What the manifest of a realm's set says: nothing that is in the realm but how much there is of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import PrivateAttr

from engine.sources.keycloak.diff import Change, changes_table
from engine.sources.kind import Facts
from engine.words.report import Table


class RealmFacts(Facts):
    """`content` is a digest of all that the realm says, `look` of what the look saw just before the export. `before` is
    the set that `changes` counts from ('': there was none). `image` is what Keycloak runs
    from; None where that is no container."""

    keycloak_version: str
    image: str | None = None
    content: str
    look: str
    things: Mapping[str, int]
    before: str = ""
    changes: str = ""
    _changes: Sequence[Change] = PrivateAttr(default=())

    @classmethod
    def with_changes(cls, found: Sequence[Change], **facts: object) -> Self:
        """Facts that tell their run's report what changed: names of a realm are in no manifest."""
        made = cls.model_validate(facts)
        made._changes = found
        return made

    def shown(self) -> tuple[tuple[str, str], ...]:
        details = {name: value for name, value in super().shown() if name not in ("content", "look", "things")}
        return (*details.items(), *((f"{noun}s", f"{count:,}") for noun, count in self.things.items()))

    def counts(self) -> Mapping[str, int]:
        return self.things

    def cells(self) -> Mapping[str, str]:
        return {"changes": self.changes or "-"}

    def details(self) -> tuple[Table, ...]:
        return (changes_table(f"Changed since {self.before}", self._changes),) if self._changes else ()
