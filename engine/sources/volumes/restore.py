"""A volume comes back: unpacked under another name, compared with its proof, and only then put where it is wanted.

A volume cannot be renamed. What changes places are the folders that the engine's `local` driver keeps two volumes in, by
renameat2(2) with RENAME_EXCHANGE: one step, whatever the size, which has happened or has not. So the one that was there is
in the other volume from then on, which is called `<name>-before-<time>` from the beginning. The number of the folder that
was filled stands beside it: a run that finds it still there knows that they did not change places.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.errors import ConfigurationError, DamagedSet, OperationFailed, PlatformOpsError, TransientFailure
from engine.hosts.ending import children_spared
from engine.progress import Progress, readable_seconds
from engine.repository.body import Body
from engine.repository.keys import TIME
from engine.repository.repository import Repository
from engine.sources.base import Restored
from engine.sources.volumes.inventory import OURS, Mounting, Volume, mounting, volume_called
from engine.sources.volumes.keeper import Keeper
from engine.sources.volumes.kinds import facts_of
from engine.sources.volumes.sandbox import Sandbox
from engine.sources.volumes.stop import Stop
from engine.sources.volumes.unpacking import compare, unpack

KEPT = "platform-ops.kept"
"""The label of a volume that is kept: what it was called."""
_FOR = "platform-ops.for"
"""The label of a scratch volume that is filled for one that was not there: what that is called."""
_FOLDERS = "/volumes"
_RIGHTS = ("DAC_OVERRIDE", "FOWNER")


@dataclass(frozen=True)
class VolumeRestore:
    """Sets of volumes on their way back to one engine, by whoever holds the lock."""

    sandbox: Sandbox
    keeper: Keeper

    def carry_out(
        self, repository: Repository, body: Body, into: str, *, in_place: bool, progress: Progress
    ) -> Restored:
        """See `engine.sources.base.Source.restore`."""
        live = volume_called(self.sandbox.docker, into)
        if live is not None and not in_place:
            raise ConfigurationError(f"There is a volume {into!r}; give another name, or restore in place of it.")
        if live is not None:
            return self._instead(repository, body, live, progress)
        with self.sandbox.scratch("restoring", f"{_FOR}={into}") as filled:
            counts = self._filled(repository, body, filled, progress)
            self._made(into, filled, self._labels(body, into))
        return Restored(body.key, into, "", counts, self._what_next(into))

    def _made(self, into: str, filled: str, labels: Sequence[str]) -> None:
        """Make it, with what was filled in.

        Raises:
            TransientFailure: somebody else made one meanwhile, which is not touched.
        """
        if volume_called(self.sandbox.docker, into) is None:
            self._create(into, labels)
        made = self._volume(into)
        if self._running(made) or into not in json.loads(self._script("empty", [made])):
            raise TransientFailure(
                f"Somebody made a volume {into}, and uses it, while the set was unpacked: it was not touched. Look at it, and "
                "restore again: beside it, or in place of it."
            )
        try:
            with children_spared():
                self._exchange(into, filled)
        except BaseException:
            self._undo()
            raise
        with Stop(self.keeper, self._running(made)):
            pass  # who was started meanwhile writes to the folder that goes now

    def sweep(self) -> None:
        """Remove what a killed run had made or filled and not put in place; the volumes that are kept stay."""
        self._sweep_made()
        volumes = self._labelled(KEPT)
        if not volumes:
            return
        unchanged = json.loads(self._script("unchanged", volumes))
        if unchanged:
            self.sandbox.docker.tried(("docker", "volume", "rm", *unchanged))
        self._script("unmark", [each for each in volumes if each.name not in unchanged])

    def _sweep_made(self) -> None:
        """One that was made to get its contents in one step, and has not: it would be taken for what was restored."""
        wanted = {each.labels[_FOR] for each in self._labelled(_FOR)}
        made = [each for each in self._called(sorted(wanted)) if not mounting(self.sandbox.docker, each)]
        if made and (empty := json.loads(self._script("empty", made))):
            self.sandbox.docker.tried(("docker", "volume", "rm", *empty))

    def _labelled(self, label: str) -> list[Volume]:
        filters = ("--filter", f"label={OURS}={self.sandbox.source}", "--filter", f"label={label}")
        listed = self.sandbox.docker.call(("docker", "volume", "ls", "--quiet", *filters))
        return self._called(listed.decode().split())

    def _called(self, names: Sequence[str]) -> list[Volume]:
        found = [each for each in (volume_called(self.sandbox.docker, name) for name in names) if each]
        return [each for each in found if _is_plain(each)] if self.sandbox.python else []

    def _instead(self, repository: Repository, body: Body, live: Volume, progress: Progress) -> Restored:
        """In the place of a live one, which is the kept one afterwards."""
        self._require_folder(live)
        kept = f"{live.name}-before-{datetime.now(UTC).strftime(TIME)}"
        self._create(kept, (f"{OURS}={self.sandbox.source}", f"{KEPT}={live.name}"))
        changed = False
        try:
            self._script("mark", [self._volume(kept)])
            counts = self._filled(repository, body, kept, progress)
            self.keeper.require()
            users = self._running(live)
            with Stop(self.keeper, users) as stop:
                self._require_nobody(live)
                with children_spared():  # an engine carries out what it was asked for, whoever is ended here
                    self._exchange(live.name, kept)
                changed = True
                with Stop(self.keeper, self._running(live)):
                    pass  # who was started meanwhile writes to the folder of before, which is the kept one now
            self._script("unmark", [self._volume(kept)])
        except PlatformOpsError as error:
            if changed:
                raise OperationFailed(
                    f"{live.name} was replaced, and what was there is kept as {kept}; but then: {error}"
                ) from None
            self._undo()
            raise
        except BaseException:
            if not changed:
                self._undo()
            raise
        names = ", ".join(each.name for each in users)
        down = (f"{names}: stopped for {readable_seconds(stop.seconds)}.",) if users else ()
        return Restored(body.key, live.name, kept, counts, (*down, *self._what_next(live.name)))

    def _undo(self) -> None:
        """By the mark on disk: they may have changed places although nobody could say so."""
        with suppress(PlatformOpsError):
            self.sweep()

    def _running(self, volume: Volume) -> list[Mounting]:
        return [each for each in mounting(self.sandbox.docker, volume) if each.running]

    def _require_nobody(self, live: Volume) -> None:
        """Nobody started what was stopped, or another one.

        Raises:
            TransientFailure: somebody did; nothing was changed.
        """
        self.keeper.require()
        if started := ", ".join(each.name for each in self._running(live)):
            raise TransientFailure(
                f"{started} was started while {live.name} was to be replaced: nothing was; start again."
            )

    def _filled(self, repository: Repository, body: Body, volume: str, progress: Progress) -> dict[str, int]:
        """Fill it and compare it with the proof.

        Raises:
            DamagedSet: it did not come back as it was.
        """
        unpack(self.sandbox, repository, body, volume, progress)
        progress(f"compare {body.name}")
        found, folders, files = compare(self.sandbox, repository, body, volume)
        if found:
            self.sandbox.require(volume)
            raise DamagedSet(
                f"{body.key} does not restore to what was backed up: first {found[0].path!r} ({found[0].expected or 'not there'}; "
                f"found: {found[0].found or 'not there'}). Nothing live was touched; use another set."
            )
        return {"folder": folders, "file": files}

    def _labels(self, body: Body, into: str) -> tuple[str, ...]:
        """Compose takes a volume for its own by these; one beside is not compose's, which would remove it with `down`."""
        facts = facts_of(body)
        if into == facts.volume:
            return tuple(f"{name}={value}" for name, value in facts.labels.items())
        return (f"{OURS}={self.sandbox.source}",)

    def _what_next(self, into: str) -> tuple[str, ...]:
        if self._running(self._volume(into)):
            return ()
        return (f"Nothing runs with {into} yet: start what uses it (platformctl start, or docker compose up -d).",)

    def _create(self, name: str, labels: Sequence[str]) -> None:
        words = tuple(word for label in labels for word in ("--label", label))
        self.sandbox.docker.call(("docker", "volume", "create", *words, name))

    def _volume(self, name: str) -> Volume:
        found = volume_called(self.sandbox.docker, name)
        if found is None:
            raise OperationFailed(
                f"The volume {name} vanished while it was restored; look at what runs, and start again."
            )
        return found

    def _exchange(self, one: str, other: str) -> None:
        self._script("exchange", [self._volume(one), self._volume(other)])

    def _require_folder(self, volume: Volume) -> None:
        """It is a folder of the engine's own, and nothing that is mounted from elsewhere.

        Raises:
            ConfigurationError: it is not.
        """
        if not _is_plain(volume):
            raise ConfigurationError(
                f"The volume {volume.name} is no plain folder of the engine's ({volume.driver}, with options): it cannot be "
                "replaced in place; restore beside it, and copy what you need."
            )

    def _script(self, what: str, volumes: Sequence[Volume]) -> str:
        if not volumes:
            return ""
        for each in volumes:
            self._require_folder(each)
        folder, *others = {each.mountpoint.rpartition("/")[0].rpartition("/")[0] for each in volumes}
        if others:
            raise OperationFailed(
                f"{', '.join(each.name for each in volumes)} are not in one folder: restore beside, and copy."
            )
        argv, binds = self.sandbox.python_argv(what, *(each.name for each in volumes))
        binds = (*binds, "--userns", "host")  # the engine's own folders are root's, also where containers have another
        done = self.sandbox.run(what, argv, (f"{folder}:{_FOLDERS}",), _RIGHTS, binds=binds)
        if done.code != 0:
            message = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise OperationFailed(
                f"Volumes cannot change places in {folder}{self.sandbox.docker.host.note}: {message}; unpack the set as docs/volumes.md says."
            )
        return done.stdout.decode()


def _is_plain(volume: Volume) -> bool:
    return volume.driver == "local" and not volume.options and volume.mountpoint.endswith(f"/{volume.name}/_data")
