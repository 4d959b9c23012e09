"""Bring images back: an archive as `docker load` and `podman load` read it, made of the blobs as they stream."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from functools import partial
from typing import IO, Any

from engine.compose.docker import Docker
from engine.errors import DamagedSet, OperationFailed
from engine.progress import Progress, Throttled
from engine.repository.body import Body
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey
from engine.repository.manifest import read_manifest
from engine.repository.parsing import parse_set
from engine.repository.reading import damaged, stored_pieces, wrong_key
from engine.repository.repository import Repository, needs_identities
from engine.sources.base import Restored
from engine.sources.images.kinds import BLOB, IMAGE, BlobFacts, ImagesFacts
from engine.streams.pack import IteratorReader
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Abandonable, Meter, write_all
from engine.streams.unpack import DamagedStreamError, WrongKeyError, unpack

_BLOCK = tarfile.BLOCKSIZE


def listed(facts: ImagesFacts) -> list[dict[str, Any]]:
    """What an archive's manifest.json says of them."""
    return [
        {"Config": _member(image.id), "RepoTags": [image.tag], "Layers": [_member(layer) for layer in image.layers]}
        for image in facts.images.values()
    ]


def _member(digest: str) -> str:
    return f"blobs/{digest}"


def facts_of(body: Body) -> ImagesFacts:
    """The facts of a set of images.

    Raises:
        DamagedSet: they are none.
    """
    found = IMAGE.facts_of(body)
    assert isinstance(found, ImagesFacts)  # noqa: S101 - of this kind
    return found


def blobs_of(repository: Repository, body: Body) -> Mapping[str, Body]:
    """The manifests of the blobs that a set needs, by SHA-256.

    Raises:
        DamagedSet: one of them is not there.
    """
    there = {one.key for one in catalogue(repository, body.source).sets}
    keys: dict[str, SetKey] = {key.name: key for key in map(parse_set, body.needs)}
    for digest in facts_of(body).blobs:
        if keys.get(digest) not in there:
            raise DamagedSet(
                f"{body.key} needs the {BLOB.noun} {digest[:12]}, which is not in {repository.store.address}; use another set."
            )
    return {digest: read_manifest(repository, key) for digest, key in keys.items()}


class _Into:
    """Where a blob goes: hashed and counted."""

    def __init__(self, sink: IO[bytes] | None, meter: Meter) -> None:
        self._sink, self._meter = sink, meter
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        self._meter.add(len(data))
        if self._sink is not None:
            write_all(self._sink, data)
        return len(data)


def read_blob(repository: Repository, body: Body, sink: IO[bytes] | None, meter: Meter) -> int:
    """One blob, decrypted and unpacked on its way to `sink`; its size in bytes.

    Raises:
        DamagedSet: it is another than its name says.
        CouldNotVerify: it is encrypted, and no private key of age is here.
    """
    file = body.file("blob")
    if file is None:
        raise DamagedSet(f"{body.key} holds no blob; use another set.")
    into = _Into(sink, meter)
    source = io.BufferedReader(IteratorReader(stored_pieces(repository, body.key, file)))
    try:
        unpack(source, into, needs_identities(repository, body.encrypted))
    except WrongKeyError:
        raise wrong_key(repository, body.key) from None
    except DamagedStreamError:
        raise damaged(repository, body.key, file.name) from None
    while source.read(1 << 20):  # to its end, where the bytes are compared with the manifest
        pass
    if into.digest.hexdigest() != body.name:
        raise DamagedSet(f"{body.key} holds another blob than its name says; use another set.")
    return into.size


def write_archive(repository: Repository, body: Body, sink: IO[bytes], meter: Meter) -> None:
    """All images of a set, as `docker load` reads them. Each blob is checked as it passes.

    Raises:
        DamagedSet: one is not what it says: what was written is no whole archive.
    """
    facts, blobs = facts_of(body), blobs_of(repository, body)
    _add(sink, "manifest.json", json.dumps(listed(facts)).encode())
    for digest in facts.blobs:
        size = BlobFacts.model_validate(blobs[digest].facts).bytes
        write_all(sink, _header(_member(digest), size))
        if read_blob(repository, blobs[digest], sink, meter) != size:
            raise DamagedSet(f"{blobs[digest].key} is longer or shorter than its manifest says; use another set.")
        write_all(sink, bytes(-size % _BLOCK))
    write_all(sink, bytes(2 * _BLOCK))


def _add(sink: IO[bytes], name: str, data: bytes) -> None:
    write_all(sink, _header(name, len(data)) + data + bytes(-len(data) % _BLOCK))


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member.tobuf(tarfile.PAX_FORMAT)


def restore(docker: Docker, repository: Repository, body: Body, progress: Progress, stall_seconds: float) -> Restored:
    """Load all images of a set; the same ids, under the tags that releases know them by.

    What they were asked for as gets its name back too, where no other image has it.

    Raises:
        OperationFailed: the engine refuses; an image has another id than it had.
    """
    facts = facts_of(body)
    meter, tick = Meter(), Throttled(progress)
    program = docker.host.stream(("docker", "load"), env=docker.environment, stdin=True)
    with Pipeline() as pipeline:
        process = pipeline.add(program, name="docker load")
        process.failed_as = OperationFailed
        pipeline.run(partial(_fed, repository, body, process.stdin, meter), "read", patience=stall_seconds)
        _drain(pipeline, process.stdout)
        label = f"load {len(facts.images)} images"
        pipeline.join(meter, stall_seconds, lambda: tick(label, meter.bytes))
    for image in facts.images.values():
        if docker.image(image.tag).id.removeprefix("sha256:") != image.id:
            raise OperationFailed(
                f"{image.tag} was loaded as another image than {image.id[:12]}; the engine's log says more."
            )
    return Restored(body.key, body.source, "", facts.counts(), tuple(_named(docker, facts)))


def _fed(repository: Repository, body: Body, sink: IO[bytes], meter: Meter) -> None:
    whole = False
    try:
        write_archive(repository, body, sink, meter)
        whole = True
    finally:
        if not whole and isinstance(sink, Abandonable):
            sink.abandon()
        else:
            sink.close()


def _drain(pipeline: Pipeline, output: IO[bytes]) -> None:
    """What it says of its progress is read and not kept: a full pipe would stop it."""

    def read() -> None:
        while output.read(1 << 16):
            pass

    pipeline.run(read, "what docker load says", silent=True)


def _named(docker: Docker, facts: ImagesFacts) -> list[str]:
    """Give images the names they were asked for by, and say which belong to another image by now."""
    taken = []
    newest = {image.reference: image for image in facts.images.values() if "@" not in image.reference}
    for reference, image in newest.items():
        found = docker.tried(("docker", "image", "inspect", "--format", "{{.Id}}", reference))
        if found.code != 0:
            docker.call(("docker", "tag", image.tag, reference))
        elif found.stdout.decode().strip().removeprefix("sha256:") != image.id:
            taken.append(f"{reference} is another image here and stays it; the stored one is {image.tag}.")
    return taken
