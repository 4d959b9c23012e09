"""Which versions of a platform's services are on its host."""

from __future__ import annotations

from engine.releases import environment
from engine.releases.platform import Platform
from engine.releases.release import with_version
from engine.releases.site import IMAGES

_VARIABLE = "_IMAGE"


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
