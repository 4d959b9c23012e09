"""Images of the platform on its host: those of the kept releases stay, everything else of ours goes."""

from __future__ import annotations

import json
from collections.abc import Mapping

from engine.compose.docker import Docker
from engine.releases import records
from engine.releases.gateway import FILES
from engine.releases.release import is_pin
from engine.releases.site import Site

_RESTORED = "run/restored-images.json"


def pinned_images(site: Site, docker: Docker, services: set[str]) -> tuple[str, ...]:
    """The tags that staging made for these services of this platform, and no other."""
    listed = docker.call(("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")).decode().splitlines()
    ours = tuple(f"{site.settings.project}/{name}:" for name in services)
    return tuple(sorted(each for each in listed if each.startswith(ours) and is_pin(each)))


def remember_restored(site: Site, pins: Mapping[str, str]) -> None:
    """Which tag of ours was asked for by which reference: an image that was loaded is known by no digest of a registry."""
    known = _restored(site) | dict(pins)
    if pins:
        site.make_folders("run")
        site.write(_RESTORED, json.dumps(known, indent=1).encode())


def restored(site: Site, reference: str) -> str:
    """The tag of an image that was restored for a reference by digest; '' where there is none."""
    return _restored(site).get(reference, "") if "@" in reference else ""


def _restored(site: Site) -> dict[str, str]:
    found = site.read(_RESTORED)
    try:
        return {str(name): str(tag) for name, tag in json.loads(found or b"{}").items()}
    except (ValueError, AttributeError):
        return {}  # whatever it was, a registry is asked


def prune(site: Site, docker: Docker) -> tuple[str, ...]:
    """Remove releases that nothing goes back to, and the tags that only they have; what a tag alone kept goes with it.

    Whatever a container still uses stays, and so does every image that has a name of its own.
    """
    kept = records.kept(site)
    images = {each.image for release in kept for each in release.services.values()}
    services = {name for release in records.releases(site) for name in release.services}
    gone = [each for each in pinned_images(site, docker, services) if each not in images]
    removed = [each for each in gone if docker.tried(("docker", "image", "rm", each)).code == 0]
    ids = {release.id for release in (*kept, *records.taken_back(site)[-1:])}
    folders = {release.nginx_folder for release in kept}
    old = [site.release(each) for each in site.releases() if each not in ids]
    old += [f"{FILES}/{each}" for each in site.names(FILES) if each not in folders]
    if old:
        site.remove(*old)
    return tuple(removed)
