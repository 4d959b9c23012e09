"""The kinds of set: the images of some releases, and the blobs that they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from engine.config.settings import Retention
from engine.progress import readable_bytes
from engine.repository.body import Body
from engine.sources.kind import Facts, Kind
from engine.words.report import Table


class Image(BaseModel):
    """One image of a release: `id` is the SHA-256 of its configuration, `layers` are those of its layers before they are
    packed (diff ids), all as hex, the lowest first. `tag` is the one on the host, `reference` what was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str
    tag: str
    reference: str
    id: str
    layers: tuple[str, ...]

    @property
    def blobs(self) -> tuple[str, ...]:
        return (self.id, *self.layers)


class ImagesFacts(Facts):
    """`releases` are by id, the newest last. `added` is how many blobs the run stored that made the set, and `added_bytes`
    what they take in the store."""

    platform: str
    releases: dict[str, tuple[Image, ...]]
    added: int = 0
    added_bytes: int = 0

    @property
    def images(self) -> Mapping[str, Image]:
        """By tag; two releases share those that did not change."""
        return {image.tag: image for images in self.releases.values() for image in images}

    @property
    def blobs(self) -> tuple[str, ...]:
        """What all of them are made of, each once."""
        return tuple(dict.fromkeys(blob for image in self.images.values() for blob in image.blobs))

    def shown(self) -> tuple[tuple[str, str], ...]:
        added = f"{self.added:,} blobs of {len(self.blobs):,}, {readable_bytes(self.added_bytes)}"
        return (("platform", self.platform), ("releases", ", ".join(self.releases)), ("stored with it", added))

    def tables(self, body: Body) -> tuple[Table, ...]:
        rows = tuple(
            (release, image.service, image.reference, image.id[:12], f"{len(image.layers):,}")
            for release, images in self.releases.items()
            for image in images
        )
        return (Table("Images", ("release", "service", "asked for as", "image", "layers"), rows, right=("layers",)),)

    def counts(self) -> Mapping[str, int]:
        return {"release": len(self.releases), "image": len(self.images)}

    def cells(self) -> Mapping[str, str]:
        return {"new blobs": f"{self.added:,}", "of": readable_bytes(self.added_bytes)}

    def same_as(self, other: ImagesFacts) -> bool:
        """Whether both have the same images."""
        return (self.platform, self.releases) == (other.platform, other.releases)


class BlobFacts(Facts):
    """A layer or a configuration of an image: `bytes` is its size before it is packed."""

    what: Literal["layer", "configuration"]
    bytes: int

    def counts(self) -> Mapping[str, int]:
        return {self.what: 1}

    @classmethod
    def of_all(cls, facts: Sequence[Self]) -> tuple[tuple[str, str], ...]:
        return (("read", readable_bytes(sum(one.bytes for one in facts))),)


IMAGE = Kind("image", "image", ImagesFacts, Retention(days=0, last=1, minimum=1), named=False, max_age_hours=26)
"""All images of the last two good releases are in one set, so one is enough; the newest proven stays besides. It is looked
at each day: a look that finds it as it was counts (repository/unchanged)."""
BLOB = Kind("blob", "blob", BlobFacts, Retention(days=1, minimum=1, needed_by=IMAGE.name))
"""Named by its SHA-256. It stays while a set of images that stays needs it; a day at least, since it is stored first."""
