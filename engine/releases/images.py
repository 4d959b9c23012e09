"""Images of the platform on its host: those of the kept releases stay, everything else of ours goes."""

from __future__ import annotations

from engine.compose.docker import Docker
from engine.releases import records
from engine.releases.release import Release
from engine.releases.site import Site


def pinned_images(site: Site, docker: Docker) -> tuple[str, ...]:
    """The tags that staging made for this platform: `<project>/<service>:...`, and no other."""
    listed = docker.call(("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")).decode().splitlines()
    return tuple(sorted(each for each in listed if each.startswith(f"{site.settings.project}/")))


def prune(site: Site, docker: Docker) -> tuple[str, ...]:
    """Remove releases that nothing goes back to, and the tags that only they have; what a tag alone kept goes with it.

    Whatever a container still uses stays, and so does every image that has a name of its own.
    """
    kept = records.kept(site)
    images = {each.image for release in kept for each in release.services.values()}
    folders = {release.nginx_folder for release in kept}
    services = {name for release in _all(site) for name in release.services} | {n for r in kept for n in r.services}
    ours = [f"{site.settings.project}/{name}:" for name in services]
    gone = [each for each in pinned_images(site, docker) if each not in images and each.startswith(tuple(ours))]
    removed = [each for each in gone if docker.tried(("docker", "image", "rm", each)).code == 0]
    ids = {release.id for release in (*kept, *records.taken_back(site)[-1:])}
    old = [site.release(each) for each in site.releases() if each not in ids]
    old += [f"run/nginx/releases/{each}" for each in site.names("run/nginx/releases") if each not in folders]
    if old:
        site.remove(*old)
    return tuple(removed)


def _all(site: Site) -> tuple[Release, ...]:
    return records.releases(site)
