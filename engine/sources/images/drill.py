"""Prove images: every blob is read back and is what its name says; each image has the layers of its configuration."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Mapping

from engine.errors import DamagedSet
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Compared, Difference, Findings
from engine.repository.repository import Repository
from engine.sources.images.kinds import BLOB, BlobFacts, Image
from engine.sources.images.load import blobs_of, facts_of, read_blob
from engine.streams.pipes import Meter


def prove(repository: Repository, body: Body, findings: Findings, progress: Progress) -> None:
    """See `engine.repository.drill.Prove`: what an engine compares when it loads an image is compared here."""
    if body.kind == BLOB.name:
        _blob(repository, body, findings)
        return
    facts, blobs = facts_of(body), blobs_of(repository, body)
    began, meter = time.monotonic(), Meter()
    ids = {image.id for image in facts.images.values()}
    for number, digest in enumerate(facts.blobs):
        progress("read what images are made of", number, len(facts.blobs))
        if digest not in ids:
            read_blob(repository, blobs[digest], None, meter)
    findings.restored()
    findings.noun = "image"
    compared: list[Compared] = []
    differences: list[Difference] = []
    for image in facts.images.values():
        found = tuple(_differences(image, _configuration(repository, blobs, image, meter)))
        differences += found
        counts = {"layer": len(image.layers)}
        compared.append(Compared(name=image.tag, differences=len(found), counts=counts))
    findings.differences = tuple(differences)
    findings.compared = tuple(compared)
    findings.remarks["read"] = f"{meter.bytes:,} bytes in {time.monotonic() - began:.0f} s"


def _blob(repository: Repository, body: Body, findings: Findings) -> None:
    """One blob alone: its SHA-256 is its name."""
    expected = BLOB.facts_of(body)
    assert isinstance(expected, BlobFacts)  # noqa: S101 - of this kind
    size = read_blob(repository, body, None, Meter())
    findings.restored()
    findings.noun = BLOB.noun
    findings.compared = (Compared(name=body.name, differences=size != expected.bytes, counts={"byte": size}),)
    if size != expected.bytes:
        seen = {"expected": str(expected.bytes), "found": str(size)}
        findings.differences = (Difference(where=body.name, kind=BLOB.name, name="bytes", **seen),)


def _configuration(repository: Repository, blobs: Mapping[str, Body], image: Image, meter: Meter) -> list[str]:
    """The layers that an image's configuration names."""
    text = io.BytesIO()
    read_blob(repository, blobs[image.id], text, meter)
    try:
        layers = json.loads(text.getvalue())["rootfs"]["diff_ids"]
        return [str(layer).removeprefix("sha256:") for layer in layers]
    except (ValueError, KeyError, TypeError):
        raise DamagedSet(f"{blobs[image.id].key} is no configuration of an image; use another set.") from None


def _differences(image: Image, layers: list[str]) -> Iterator[Difference]:
    if layers != list(image.layers):
        seen = {
            "expected": ", ".join(each[:12] for each in image.layers),
            "found": ", ".join(each[:12] for each in layers),
        }
        yield Difference(where=image.tag, kind="image", name="layers", **seen)
