"""A kind of set is a value: how its sets are called and kept, and what their manifests say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.config.settings import Retention
from engine.errors import DamagedSet
from engine.repository.body import Body
from engine.words.report import Table


class Facts(BaseModel):
    """What a manifest says that only its kind understands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def shown(self) -> tuple[tuple[str, str], ...]:
        """By name, what `show` tells of them."""
        return tuple((name.replace("_", " "), str(value)) for name, value in self if value not in ("", None, (), {}))

    def tables(self, body: Body) -> tuple[Table, ...]:
        """What of them needs a table."""
        del body
        return ()

    def counts(self) -> Mapping[str, int]:
        """By singular noun, how much is in it, what there is most of last: `{"table": 2, "row": 1204}`."""
        return {}

    def cells(self) -> Mapping[str, str]:
        """By column, what more a backup's report says of one set."""
        return {}

    def details(self) -> tuple[Table, ...]:
        """What the report of the run that made the set says beside, and no manifest."""
        return ()

    @classmethod
    def of_all(cls, facts: Sequence[Self]) -> tuple[tuple[str, str], ...]:
        """By name, what a backup's report says of all its sets of the kind together."""
        del facts
        return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of set. `name` is a part of its keys, `noun` what people call such a thing; `named`: a source has
    several, each with a name. `max_age_hours`: how old the newest good one may be; None: nobody waits for one."""

    name: str
    noun: str
    facts: type[Facts]
    retention: Retention
    named: bool = True
    max_age_hours: float | None = None

    def facts_of(self, body: Body) -> Facts:
        """The facts of a set of this kind.

        Raises:
            DamagedSet: they are not such facts.
        """
        try:
            return self.facts.model_validate(body.facts)
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise DamagedSet(f"{body.key}: its manifest is not valid at facts.{place[:80]}; use another set.") from None
