"""What is kept: the contract of a source, and of the kinds of sets it makes.

1. `items` tells what there is and why one is skipped. 2. `backup` writes files, never the manifest. 3. Nothing of the
source is changed, or it is put back, also after kill -9 (`sweep`). 4. `prove` restores into something nobody reaches
and compares. 5. `facts` says all a reader is shown. 6. `restore` overwrites nothing that was not confirmed by name, and keeps
what was there until what takes its place is verified.

What a kind writes is in its own folder beside this file, and one line in `registry`. All else (list, show, verify,
drill's frame, copies, retention, check, forms, alarms) goes by what stands here.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.config.names import LOCAL
from engine.config.platforms import PlatformSettings
from engine.config.settings import SourceSettings
from engine.errors import ConfigurationError
from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Findings
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.sources.item import Forecast, Item, Run, Unchanged
from engine.sources.kind import Facts, Kind


class Held(Protocol):
    """A lock that is held."""

    def require(self) -> None:
        """Ask before what only the holder may do.

        Raises:
            TransientFailure: it was lost.
        """
        ...


@dataclass(frozen=True)
class Restored:
    """What a restore of one set came to: `name` is what it is called now, `kept` what the one before is called now ('' where
    there was none). `counts` are by noun, what there is most of last; `remarks` say what to do."""

    key: SetKey
    name: str
    kept: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


class Source(ABC):
    """Something that is kept. See the module's contract."""

    name: str
    settings: SourceSettings

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return self.name

    @abstractmethod
    def lock(self, label: str) -> AbstractContextManager[Held]:
        """Never two runs at once. `label` tells others who holds it.

        Raises:
            LockedByAnother: another run is at it.
        """

    def sweep(self) -> None:  # noqa: B027 - most have nothing to put back
        """Put back what a killed run left; the caller holds the lock."""

    @abstractmethod
    def items(self) -> Sequence[Item]:
        """What there is, in the order of a restore."""

    @abstractmethod
    def backup(self, item: Item, run: Run, out: SetWriter, progress: Progress) -> Facts | Unchanged:
        """Store one item: its files go into `out`. Unchanged: nothing of it is stored, also what went into `out`.

        Raises:
            ItemGone: it is there no more, which explains any other error.
            PlatformOpsError: one sentence; TransientFailure where a new try may help.
        """

    def remarks(self, items: Sequence[Item]) -> Sequence[str]:
        """What is odd about its configuration, in sentences that say what to do."""
        known = {item.name for item in items}
        return [
            f"exclude names {name!r}, which {self.name} does not have: correct its table in the configuration, or what "
            "you mean to leave out is backed up under another name."
            for name in self.settings.exclude
            if name not in known
        ]

    def forecast(self, items: Sequence[Item]) -> Forecast:
        """What a backup of these would lack, and which would fail, as far as looking at the source tells.

        Raises:
            PlatformOpsError: it cannot be looked at.
        """
        del items
        return Forecast()

    def forgotten(self) -> Sequence[str]:
        """What is there and neither declared nor excluded, each in a sentence that says what to do.

        Raises:
            PlatformOpsError: it cannot be looked at.
        """
        return ()

    def taken(self, name: str) -> bool:
        """Whether something live has this name: then a restore in place has to have it confirmed.

        Raises:
            PlatformOpsError: it cannot be looked at; ConfigurationError: nothing can be called so.
        """
        del name
        return False

    def restore(self, repository: Repository, body: Body, into: str, *, in_place: bool, progress: Progress) -> Restored:
        """Bring a set, whose stored bytes were verified, back as `into`; the caller holds the lock, and the set.

        Never over a live one unless `in_place`: that one is kept until the new one is verified, and comes back when
        anything fails, or by `sweep` after kill -9.

        Raises:
            ConfigurationError: this kind is restored otherwise; or `into` is taken, and not `in_place`.
            PlatformOpsError: one sentence, which says what is there now.
        """
        del repository, into, in_place, progress
        raise ConfigurationError(f"Sets of the kind {body.kind} are not restored by this command.")


Prover = Callable[[Repository, Body, Findings, Progress, HostSettings], None]
"""How a set is proven: see `engine.repository.drill.Prove`. The host is that of the source, where it is configured."""


@dataclass(frozen=True)
class SourceType:
    """One type of source, and what its kinds of set are. The first kind is meant where none is named.

    `section` is its table in the configuration, `noun` what people call such a source, `flow` the deployment that backs
    it up, `secrets` what in its sets is secret beside the data, in words. `restore_flow` is the deployment that restores
    sets of its first kind as `Source.restore` does; '' where nothing does. `commands` are those of its own in the group
    of its first kind's noun, with what each does: `platformctl realm diff` is `engine/cli/realm_diff.py`.
    `has_undeclared`: one may hold what its table does not name (see `Source.forgotten`).
    `open` gets name, settings and host, and where `of_platform` the settings of the platform that it is a part of.
    `after_deploy`: a deploy of that platform, once it is recorded, is followed by a backup of it.
    """

    section: str
    noun: str
    title: str
    kinds: tuple[Kind, ...]
    settings: type[SourceSettings]
    open: Callable[..., Source]
    prove: Prover
    flow: str = "nightly-backup"
    secrets: str = ""
    restore_flow: str = ""
    has_undeclared: bool = False
    commands: Mapping[str, str] = field(default_factory=dict, hash=False)
    of_platform: bool = False
    after_deploy: bool = False

    def opened(self, name: str, settings: Any, host: HostSettings, platform: PlatformSettings | None) -> Source:
        """The source of that name.

        Raises:
            ConfigurationError: it has to be a part of a platform, and names none, or a host of its own.
        """
        if not self.of_platform:
            return self.open(name, settings, host)
        if platform is None:
            raise ConfigurationError(f"{self.section}.{name} names no platform; say which one it is a part of.")
        if settings.runs_on != LOCAL:
            raise ConfigurationError(f"{self.section}.{name} runs where its platform does; leave runs_on out.")
        return self.open(name, settings, host, platform)

    @property
    def slug(self) -> str:
        """What its blocks are found by: `postgresql-server`."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
