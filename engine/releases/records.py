"""The records of releases on the host: which one runs, which is the last good one before it, what of others goes."""

from __future__ import annotations

from engine.errors import NotFound, OperationFailed
from engine.releases.release import Release, read_release
from engine.releases.site import Site

CURRENT = "run/current"
KEPT = 2
"""So many good releases stay on the host, with their images: the one that runs and the one to go back to."""


def record(site: Site, release: str) -> Release:
    """A release's record.

    Raises:
        OperationFailed: there is none, or it is damaged.
    """
    path = site.release(release, "release.json")
    found = site.read(path)
    if found is None:
        raise NotFound(
            f"There is no release {release} in {site.directory}{site.host.note}; `platformctl releases` lists them."
        )
    return read_release(found, site.path(path))


def current(site: Site) -> Release | None:
    """The release that runs."""
    found = site.linked(CURRENT).rpartition("/")[2]
    return record(site, found) if found else None


def releases(site: Site) -> tuple[Release, ...]:
    """All that were good, oldest first, those that were taken back too."""
    found = [record(site, each) for each in site.releases() if site.read(site.release(each, "release.json"))]
    return tuple(each for each in found if each.state != "staged")


def taken_back(site: Site) -> tuple[Release, ...]:
    """Those newer than the one that runs, oldest first: their backups are what the databases go back to."""
    running = current(site)
    return tuple(each for each in releases(site) if running is not None and each.id > running.id)


def accept(site: Site, release: Release) -> None:
    """From now on this one runs. One that ran after it was taken back by that."""
    ran = current(site)
    write(site, release.model_copy(update={"state": "good"}))
    if ran is not None and ran.id > release.id:
        write(site, ran.model_copy(update={"state": "rolled-back"}))
    site.link(CURRENT, f"releases/{release.id}")


def write(site: Site, release: Release) -> None:
    site.write(site.release(release.id, "release.json"), release.as_json())


def give_back(site: Site, release: str) -> None:
    """Remove the folder of a release that was only staged."""
    path = site.release(release, "release.json")
    found = site.read(path)
    if found is None or read_release(found, site.path(path)).state == "staged":
        site.remove(site.release(release))


def last_good(site: Site) -> Release:
    """The release to go back to.

    Raises:
        OperationFailed: there is none.
    """
    running = current(site)
    good = [each for each in releases(site) if each.state == "good" and (running is None or each.id < running.id)]
    if not good:
        raise OperationFailed(
            f"There is no earlier good release in {site.directory}{site.host.note}; deploy the versions you want."
        )
    return good[-1]


def kept(site: Site) -> tuple[Release, ...]:
    """The releases that stay on the host: the one that runs, and the good one before it."""
    running = current(site)
    if running is None:
        return ()
    good = [each for each in releases(site) if each.state == "good" and each.id <= running.id]
    return tuple(good[-KEPT:])
