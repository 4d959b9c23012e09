"""The records of releases on the host: which one runs, which is the last good one before it, what of others goes."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from engine.errors import NotFound, OperationFailed
from engine.releases.release import Release, read_release
from engine.releases.site import Site
from engine.settings_model import Frozen

CURRENT = "run/current"
MIGRATED, GOING_BACK = "run/migrated.json", "run/databases-going-back"
KEPT = 2
"""So many good releases stay on the host, with their images: the one that runs and the one to go back to."""


class Migrated(Frozen):
    """Migrations that ran for a release which did not come to be."""

    services: tuple[str, ...]
    breaking: tuple[str, ...]
    backups: tuple[str, ...]


def remember(site: Site, migrated: Migrated) -> None:
    """Keep it until a release is accepted; what an earlier try had as its backups stays: it is from before them all."""
    before = read_migrated(site)
    if before is not None:
        services = tuple(dict.fromkeys((*before.services, *migrated.services)))
        breaking = tuple(dict.fromkeys((*before.breaking, *migrated.breaking)))
        # What the older version can live with needs no way back behind it.
        backups = (before.backups if before.breaking else ()) or migrated.backups
        migrated = Migrated(services=services, breaking=breaking, backups=backups)
    site.write(MIGRATED, migrated.model_dump_json().encode())


def read_migrated(site: Site) -> Migrated | None:
    """What is remembered; None where every migration belongs to a release.

    Raises:
        OperationFailed: it is damaged.
    """
    found = site.read(MIGRATED)
    try:
        return None if found is None else Migrated.model_validate_json(found)
    except ValidationError:
        raise OperationFailed(
            f"{site.path(MIGRATED)}{site.host.note} is damaged: which migrations ran for a release that did not come to be is "
            "not known; look at the databases, then move it away."
        ) from None


def forget_migrated(site: Site) -> None:
    site.remove(MIGRATED)


def mark_databases(site: Site, names: Sequence[str]) -> None:
    """From now on databases go back: until images have gone back too, nothing else may start what uses them."""
    site.write(GOING_BACK, "\n".join(names).encode())


def forget_databases(site: Site) -> None:
    site.remove(GOING_BACK)


def require_databases_whole(site: Site) -> None:
    """Go on only where no rollback of databases was cut off.

    Raises:
        OperationFailed: one was; it says what to do.
    """
    found = site.read(GOING_BACK)
    if found is not None:
        names = ", ".join(found.decode("utf8", "replace").split("\n"))
        raise OperationFailed(
            f"A rollback with the databases {names} did not come to its end: start `platformctl rollback-db` again. Until then "
            "nothing is started, since a newer version could be let loose on older data."
        )


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
