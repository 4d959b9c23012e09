"""What a backup run has come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.errors import PlatformOpsError
from engine.repository.copies import CopyRun
from engine.repository.prune import PruneResult
from engine.repository.prune_plan import PrunePlan
from engine.sources.item import Item, StoredItem, Unchanged


@dataclass
class BackupResult:
    """What one run has come to. `seconds` is the whole run's until now.

    `found` is what the source has, `stored` what is stored of it, and `unchanged` what is in an older set as it is; `failures` are errors by item. `plan` and `pruned`
    are what retention decided and did; `prune_failure` says why it did nothing. `copies` is what was done for each
    further store. `remarks` say what is odd about the configuration.
    """

    source: str
    store: str
    encrypted: bool
    found: Sequence[Item] = ()
    stored: list[StoredItem] = field(default_factory=list)
    seconds: float = 0.0
    failures: list[tuple[Item, PlatformOpsError]] = field(default_factory=list)
    plan: PrunePlan | None = None
    pruned: PruneResult | None = None
    prune_failure: str = ""
    copies: list[CopyRun] = field(default_factory=list)
    remarks: Sequence[str] = ()
    unchanged: list[tuple[Item, Unchanged]] = field(default_factory=list)

    @property
    def closed(self) -> StoredItem | None:
        """The set of all the others, where there is one."""
        return next((one for one in self.stored if one.item.closes), None)

    @property
    def stored_bytes(self) -> int:
        """Everything this run added to the store."""
        return sum(one.body.size for one in self.stored)

    @property
    def missing(self) -> tuple[str, ...]:
        """What no set of this run holds, in words."""
        if self.closed:
            return self.closed.body.missing
        return tuple(what for one in self.stored for what in one.body.missing)
