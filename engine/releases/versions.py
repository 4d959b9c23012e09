"""Versions of a platform's services: as people name them, and those on its host."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import ConfigurationError
from engine.releases import environment
from engine.releases.platform import Platform
from engine.releases.release import with_version
from engine.releases.site import IMAGES

_VARIABLE = "_IMAGE"


def versions_of(words: Sequence[str]) -> dict[str, str]:
    """`kohub-backend=1.4.2` as a service and its version.

    Raises:
        ConfigurationError: a word is no such pair, or a service is named twice.
    """
    found: dict[str, str] = {}
    for word in words:
        service, equals, version = word.partition("=")
        if not (service and equals and version):
            raise ConfigurationError(
                f"{word[:60]!r} names no version; write SERVICE=VERSION, such as kohub-backend=1.4.2."
            )
        if service in found:
            raise ConfigurationError(f"{service} is named twice; name each service once.")
        found[service] = version
    return found


def versions_there(platform: Platform) -> dict[str, tuple[str, ...]]:
    """By service the tags of its image that the host has.

    Raises:
        ConfigurationError: the platform's folder names no images.
        PlatformOpsError: the host or its Docker do not answer.
    """
    site = platform.site
    values = environment.read(site.must_read(IMAGES), site.path(IMAGES))
    listed = (
        platform.docker.call(("docker", "image", "ls", "--format", "{{.Repository}} {{.Tag}}")).decode().splitlines()
    )
    found: dict[str, list[str]] = {}
    for line in listed:
        repository, _, tag = line.partition(" ")
        found.setdefault(repository, []).append(tag)
    return {
        name.removesuffix(_VARIABLE).lower().replace("_", "-"): tuple(
            sorted(tag for tag in found.get(with_version(reference, "").rstrip(":"), ()) if tag != "<none>")
        )
        for name, reference in values.items()
        if name.endswith(_VARIABLE)
    }
