"""The volumes of a container engine as something that is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from engine.compose.docker import Docker
from engine.errors import ConfigurationError, OperationFailed
from engine.hosts.opening import open_host
from engine.hosts.settings import HostSettings
from engine.hosts.where import InContainer, parse_where
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.sources.base import Held, Restored, Source
from engine.sources.item import Item, Run
from engine.sources.volumes.backup import VolumeBackup
from engine.sources.volumes.inventory import Mounting, Volume, all_volumes, mounting, of_project
from engine.sources.volumes.keeper import Keeper, keeper_name, keeping
from engine.sources.volumes.kinds import VOLUME, VolumeFacts, facts_of
from engine.sources.volumes.restore import VolumeRestore
from engine.sources.volumes.sandbox import Sandbox
from engine.sources.volumes.settings import OTHERWISE, VolumesSettings, is_volume_name

UNDECLARED = "nobody declared it"


class Volumes(Source):
    """The declared volumes of one engine."""

    settings: VolumesSettings

    def __init__(self, name: str, settings: VolumesSettings, host: HostSettings) -> None:
        if isinstance(parse_where(host.where), InContainer):
            raise ConfigurationError(f"{name} runs on a container; volumes are those of an engine: give its host.")
        self.name, self.settings = name, settings
        self.docker = Docker(open_host(host), host.docker_host)
        self.sandbox = Sandbox(self.docker, name)
        self._keeper: Keeper | None = None

    @property
    def address(self) -> str:
        return f"{self.name}{self.docker.host.note}"

    @contextmanager
    def lock(self, label: str) -> Iterator[Held]:
        with keeping(self.sandbox, label, self.settings.longest_stop_minutes * 60) as self._keeper:
            yield self._keeper
        self._keeper = None

    def sweep(self) -> None:
        self.sandbox.sweep_containers(keeper_name(self.sandbox))
        self._restore().sweep()
        self.sandbox.sweep_volumes()

    def items(self) -> Sequence[Item]:
        found = all_volumes(self.docker)
        wanted = {key: self._of(found, key) for key in self.settings.volumes}
        known = {each.name for each in wanted.values() if each}
        others = [each for each in self._ours(found) if each.name not in known]
        declared = [Item(VOLUME.name, key) for key in wanted]
        omitted = self.settings.exclude
        others_too = (
            Item(VOLUME.name, each.name, skipped="" if each.name in omitted else _why_not(each)) for each in others
        )
        return (*declared, *others_too)

    def remarks(self, items: Sequence[Item]) -> Sequence[str]:
        found = all_volumes(self.docker)
        volumes = [self._of(found, key) for key in self.settings.volumes if key not in self.settings.exclude]
        shared = (_shared(each, mounting(self.docker, each)) for each in volumes if each)
        return (*super().remarks(items), *_forgotten(items, self.settings.exclude), *filter(None, shared))

    def forgotten(self) -> Sequence[str]:
        """Volumes of the project that nobody declared, in sentences."""
        return _forgotten(self.items(), self.settings.exclude)

    def backup(self, item: Item, run: Run, out: SetWriter, progress: Progress) -> VolumeFacts:
        volume = self._of(all_volumes(self.docker), item.name)
        if volume is None:
            raise OperationFailed(
                f"There is no volume {item.name} on {self.address}: it was removed, or never made; correct "
                f"[volumes.{self.name}], or restore it (platformctl volume restore {item.name})."
            )
        work = VolumeBackup(
            self.sandbox,
            self._held(),
            volume,
            self.settings.volumes[item.name],
            out,
            progress,
            self.settings.stall_minutes * 60,
        )
        return work.carry_out()

    def taken(self, name: str) -> bool:
        if not is_volume_name(name):
            raise ConfigurationError(f"No volume can be called {name!r}: letters, digits, `_`, `.` and `-` only.")
        return self._of(all_volumes(self.docker), name) is not None

    def restore(self, repository: Repository, body: Body, into: str, *, in_place: bool, progress: Progress) -> Restored:
        live = self._of(all_volumes(self.docker), into)
        own = facts_of(body).volume if in_place and into == body.name else into
        name = live.name if live else own
        return self._restore().carry_out(repository, body, name, in_place=in_place, progress=progress)

    def _restore(self) -> VolumeRestore:
        return VolumeRestore(self.sandbox, self._held())

    def _held(self) -> Keeper:
        assert self._keeper is not None  # noqa: S101 - whoever calls holds the lock
        return self._keeper

    def _of(self, found: Sequence[Volume], key: str) -> Volume | None:
        """The volume that a name means: one that compose made of it for this project, else the one of that name."""
        made = (each for each in found if (each.project, each.key) == (self.settings.project, key))
        return next(made, None) or next((each for each in found if each.name == key), None)

    def _ours(self, found: Sequence[Volume]) -> Iterator[Volume]:
        """The project's volumes: those that compose made for it, and those that its containers mount."""
        mounted = {name for names in of_project(self.docker, self.settings.project) for name in names}
        for each in found:
            if not (each.ours or each.anonymous) and (each.project == self.settings.project or each.name in mounted):
                yield each


def _why_not(volume: Volume) -> str:
    return OTHERWISE.get(volume.key) or UNDECLARED


def _forgotten(items: Sequence[Item], excluded: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"not backed up: {item.name}. Name it in `volumes` of its source, or in `exclude`."
        for item in items
        if item.skipped == UNDECLARED and item.name not in excluded
    )


def _shared(volume: Volume, users: Sequence[Mounting]) -> str:
    """What is told of a volume that several mount."""
    names = sorted({each.service or each.name for each in users})
    if len(names) < 2:
        return ""
    writers = ", ".join(sorted({each.service or each.name for each in users if each.writes})) or "nobody"
    return f"{volume.name} is mounted by {', '.join(names)}; it is written by {writers}: with `stop` all of those stop."
