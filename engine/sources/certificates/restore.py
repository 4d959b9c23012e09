"""Bring a certificate back: into nginx, in place of the one that it shows, or into a folder beside."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from engine.errors import ConfigurationError
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.repository import Repository
from engine.sources.base import Restored
from engine.sources.certificates.drill import read_pair
from engine.sources.certificates.facts import CERTIFICATE
from engine.sources.certificates.front import Front
from engine.sources.certificates.pair import BadPair, require_valid

_FOLDER = "run/restored-certificates"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


def restore(
    front: Front, repository: Repository, body: Body, into: str, *, in_place: bool, progress: Progress
) -> Restored:
    """See `engine.sources.base.Source.restore`."""
    pair = read_pair(repository, body)
    remarks = []
    try:
        require_valid(pair, datetime.now(UTC))
    except BadPair as error:
        remarks.append(f"It cannot be used today: {error}. `platformctl certificate renew` makes another.")
    counts = CERTIFICATE.facts_of(body).counts()
    if in_place:
        front.install(f"restored-{body.set_id}", pair, progress)
        held = front.volume.read()
        return Restored(body.key, into, held.previous if held else "", counts, tuple(remarks))
    site = front.platform.site
    folder = beside(into)
    site.make_folders("run", _FOLDER, folder)
    site.write(f"{folder}/fullchain.pem", pair.chain)
    site.write(f"{folder}/privkey.pem", pair.key)
    remarks.append(f"Its files are in {site.path(folder)}{site.host.note}; remove them when you have seen them.")
    return Restored(body.key, into, "", counts, tuple(remarks))


def beside(name: str) -> str:
    """The folder of a certificate that nobody uses.

    Raises:
        ConfigurationError: that can be no folder's name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name[:60]!r} cannot be a folder's name; use letters, digits, dots and hyphens.")
    return f"{_FOLDER}/{name}"
