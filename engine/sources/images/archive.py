"""Store what a platform's images are made of: each blob as a set of its own, those that are there already not again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, cast

from engine.compose.docker import Docker
from engine.errors import OperationFailed, TransientFailure
from engine.progress import Progress, Throttled
from engine.releases.release import Release, ServiceRelease
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.sources.images.engine import require_room
from engine.sources.images.kinds import BLOB, BlobFacts, Image
from engine.sources.images.saved import Hashing, Saved, each_wanted, read_saved
from engine.sources.item import Run
from engine.streams.pack import CHUNK, compressed
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Meter

_INSPECTED = '{"id":{{json .Id}},"layers":{{json .RootFS.Layers}}}'
_FIRST_BYTE = 6
"""So many times as long as later ones the first byte of an image may take: Docker writes all of it to its disk before."""


class ImageLost(OperationFailed):
    """An image of a release is not there any more, or its tag means another one."""


def images_of(docker: Docker, release: Release) -> tuple[Image, ...]:
    """The images of a release, as they are on the host.

    Raises:
        ImageLost: one is not there, or its tag means another image by now.
        OperationFailed: the engine does not answer.
    """
    services = release.services
    tags = [each.image for each in services.values()]
    done = docker.tried(("docker", "image", "inspect", "--format", _INSPECTED, *tags))
    if done.code != 0:
        refused = docker.refused(("docker", "image", "inspect"), done)
        raise ImageLost(str(refused)) if "no such" in done.stderr.lower() else refused
    found = [json.loads(line) for line in done.stdout.decode().splitlines() if line.strip()]
    return tuple(
        Image(
            service=name,
            tag=each.image,
            reference=each.reference,
            id=_required(each, one["id"]).removeprefix("sha256:"),
            layers=tuple(layer.removeprefix("sha256:") for layer in one["layers"] or ()),
        )
        for (name, each), one in zip(services.items(), found, strict=True)
    )


def _required(each: ServiceRelease, found: str) -> str:
    """The id, where it is the one that the release was made of."""
    if found.removeprefix("sha256:") != each.image_id.removeprefix("sha256:"):
        raise ImageLost(
            f"{each.image} is another image by now ({found.removeprefix('sha256:')[:12]}) than the one that was released; "
            f"give that one its tag back: docker tag {each.image_id.removeprefix('sha256:')[:12]} {each.image}"
        )
    return found


def stored_blobs(repository: Repository, source: str) -> dict[str, SetKey]:
    """By SHA-256 the newest set of each blob that is good as far as is known."""
    sets = (one for one in catalogue(repository, source).sets if one.key.kind == BLOB.name and one.state != "failed")
    return {one.key.name: one.key for one in sorted(sets, key=lambda one: one.created)}


@dataclass
class Archiving:
    """The blobs of some images on their way into a store. `stored` are all that are there, by SHA-256."""

    docker: Docker
    repository: Repository
    run: Run
    progress: Progress
    stall_seconds: float
    stored: dict[str, SetKey] = field(default_factory=dict)
    added: int = 0
    added_bytes: int = 0

    def carry_out(self, images: Sequence[Image]) -> None:
        """Store what is missing, one image after the other: the engine needs room for the one that it saves.

        Raises:
            OperationFailed: the engine has not that room, or saves something else than it says it has.
            TransientFailure: it broke off.
        """
        self.stored = stored_blobs(self.repository, self.run.source)
        for image in {image.id: image for image in images}.values():
            if not self.stored.keys() >= set(image.blobs):
                require_room(self.docker, image)
                self._archive(image)

    def _archive(self, image: Image) -> None:
        found = self._saved(image, "look at", read_saved)
        _require_listed(found, image)
        wanted = {
            name: digest for name, digest in _once(found.digests) if digest in image.blobs and digest not in self.stored
        }
        self._saved(image, "store", lambda stream: each_wanted(stream, wanted, partial(self._store, image.id)))
        if lacking := [blob for blob in image.blobs if blob not in self.stored]:
            raise OperationFailed(
                f"The engine{self.docker.host.note} saves {image.tag} without the layer {lacking[0][:12]} in a form that is "
                "known here; nothing was published."
            )

    def _store(self, configuration: str, digest: str, source: IO[bytes]) -> None:
        out = SetWriter(self.repository, self.run.key(BLOB.name, digest))
        out.begin()
        hashing = Hashing(source)
        try:
            out.add_pieces("blob", compressed(hashing), "blob", whole=lambda: hashing.hexdigest == digest)
            out.publish(BlobFacts(what="configuration" if digest == configuration else "layer", bytes=hashing.size))
        except BaseException as error:
            out.withdraw()
            if isinstance(error, BrokenPipeError):
                raise TransientFailure(
                    f"The blob {digest[:12]} came otherwise than a moment before; start again."
                ) from None
            raise
        self.stored[digest] = out.key
        self.added += 1
        self.added_bytes += sum(file.size for file in out.files)

    def _saved(self, image: Image, verb: str, read: Callable[[IO[bytes]], Any]) -> Any:
        """What `read` makes of the archive that the engine writes of this image."""
        meter, tick, made = Meter(), Throttled(self.progress), []
        program = self.docker.host.stream(("docker", "save", image.id), env=self.docker.environment)
        with Pipeline() as pipeline:
            process = pipeline.add(program, name="docker save")

            def work() -> None:
                stream = cast("IO[bytes]", _Metered(process.stdout, meter))
                made.append(read(stream))
                while stream.read(CHUNK):  # what follows the archive's end
                    pass

            until = time.monotonic() + _FIRST_BYTE * self.stall_seconds
            pipeline.run(work, f"{verb} images", patience=self.stall_seconds)
            pipeline.join(
                meter,
                self.stall_seconds,
                lambda: tick(f"{verb} {image.tag}", meter.bytes),
                lambda: not meter.bytes and time.monotonic() < until,
            )
        return made[0]


class _Metered:
    """A stream whose bytes are counted."""

    def __init__(self, source: IO[bytes], meter: Meter) -> None:
        self._source, self._meter = source, meter

    def read(self, size: int = CHUNK) -> bytes:
        piece = self._source.read(size)
        self._meter.add(len(piece))
        return piece


def _once(digests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """One member for each blob: an archive may hold the same several times."""
    by_digest = {digest: name for name, digest in digests.items()}
    return ((name, digest) for digest, name in by_digest.items())


def _require_listed(found: Saved, image: Image) -> None:
    """The image is there as the engine says it is.

    Raises:
        OperationFailed: it is not.
    """
    if image.id not in {found.digests.get(str(each.get("Config")), "") for each in found.listed}:
        raise OperationFailed(
            f"The image {image.tag} is saved with another configuration than its id says ({image.id[:12]}); nothing was "
            "published."
        )
