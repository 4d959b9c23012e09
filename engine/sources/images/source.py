"""The images of a platform as a source; see `engine.sources.base` for the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from engine.config.platforms import PlatformSettings
from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.releases import lock, records
from engine.releases.images import remember_restored
from engine.releases.platform import open_platform
from engine.releases.release import Release
from engine.repository.body import Body
from engine.repository.catalogue import catalogue
from engine.repository.keys import Asset, SetKey
from engine.repository.manifest import read_manifest
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.sources.base import Restored, Source
from engine.sources.images.archive import Archiving, ImageLost, images_of
from engine.sources.images.engine import why_not
from engine.sources.images.kinds import IMAGE, ImagesFacts
from engine.sources.images.load import facts_of, listed, restore
from engine.sources.images.settings import ImagesSettings
from engine.sources.item import Item, Run, Unchanged


class ImagesSource(Source):
    """The images of one platform's last good releases."""

    settings: ImagesSettings

    def __init__(self, name: str, settings: ImagesSettings, host: HostSettings, platform: PlatformSettings) -> None:
        self.name = name
        self.settings = settings
        self.platform = open_platform(settings.platform, platform, host)
        self._lost: dict[str, str] = {}

    @property
    def address(self) -> str:
        return f"the images of {self.settings.platform}"

    @contextmanager
    def lock(self, label: str) -> Iterator[lock.Held]:
        """One of its own: it may take an hour, and no rollback waits for it. Should a deploy let an image go that is being
        saved, that image fails."""
        with lock.held(self.platform.site, label, "images") as held:
            yield held

    def items(self) -> Sequence[Item]:
        if not (kept := records.kept(self.platform.site)):
            return [Item(IMAGE.name, skipped="nothing was deployed yet")]
        self._lost = self._omitted(kept[:-1])
        return [Item(IMAGE.name, skipped=why_not(self.platform.docker))]

    def remarks(self, items: Sequence[Item]) -> Sequence[str]:
        return (
            *super().remarks(items),
            *(f"The images of release {release} are not stored: {why}" for release, why in self._lost.items()),
        )

    def backup(self, item: Item, run: Run, out: SetWriter, progress: Progress) -> ImagesFacts | Unchanged:
        del item
        docker = self.platform.docker
        kept = records.kept(self.platform.site)
        self._lost = self._omitted(kept[:-1])
        releases = {each.id: images_of(docker, each) for each in kept if each.id not in self._lost}
        facts = ImagesFacts(platform=self.settings.platform, releases=releases)
        work = Archiving(docker, out.repository, run, progress, self.settings.stall_minutes * 60)
        work.carry_out(tuple(facts.images.values()))
        if not work.added and (same := self._same(out.repository, facts)):
            return Unchanged(same)
        out.needs = [work.stored[blob] for blob in facts.blobs]
        out.add("images.json", json.dumps(listed(facts), indent=1).encode(), "images")
        return facts.model_copy(update={"added": work.added, "added_bytes": work.added_bytes})

    def restore(self, repository: Repository, body: Body, into: str, *, in_place: bool, progress: Progress) -> Restored:
        del into, in_place  # an image's id names it: nothing that is there is ever replaced
        made = restore(self.platform.docker, repository, body, progress, self.settings.stall_minutes * 60)
        by_digest = {each.reference: each.tag for each in facts_of(body).images.values() if "@" in each.reference}
        remember_restored(self.platform.site, by_digest)
        return made

    def _omitted(self, older: Sequence[Release]) -> dict[str, str]:
        """Releases one could go back to whose images are not whole any more, with the reason: a `docker image prune -a`
        takes them, since no container uses them. The one that runs is stored all the same."""
        lost: dict[str, str] = {}
        for each in older:
            try:
                images_of(self.platform.docker, each)
            except ImageLost as error:
                lost[each.id] = str(error)
        return lost

    def _same(self, repository: Repository, facts: ImagesFacts) -> SetKey | None:
        """The newest set, where it has these images and all that they are made of."""
        newest = catalogue(repository, self.name).newest(Asset(self.name, IMAGE.name, ""), "newest-usable")
        if newest is None:
            return None
        body = read_manifest(repository, newest.key)
        there = {str(one.key) for one in catalogue(repository, self.name).sets if one.state != "failed"}
        whole = there.issuperset(body.needs)
        return newest.key if whole and facts.same_as(ImagesFacts.model_validate(body.facts)) else None
