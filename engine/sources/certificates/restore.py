"""Bring a certificate back: into nginx, in place of the one that it shows, or into a folder beside."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from engine.errors import ConfigurationError, OperationFailed
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.repository import Repository
from engine.sources.base import Restored
from engine.sources.certificates.drill import read_pair
from engine.sources.certificates.facts import CERTIFICATE
from engine.sources.certificates.front import Front
from engine.sources.certificates.pair import BadPair, require_for, require_valid

_FOLDER = "run/restored-certificates"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


def restore_in_place(
    front: Front, names: Sequence[str], repository: Repository, body: Body, progress: Progress
) -> Restored:
    """Let nginx show it. `names` are those that the platform is to have a certificate for.

    Raises:
        OperationFailed: it is no use there: expired, or for other names; or nginx refuses it. The one before is shown.
    """
    pair = read_pair(repository, body)
    try:
        require_valid(pair, datetime.now(UTC))
        require_for(pair, names)
    except BadPair as error:
        raise OperationFailed(
            f"{body.key} was not put in place: {error}. Restore it beside (without in place), use another set, or correct names."
        ) from None
    identity = f"restored-{body.set_id}-{secrets.token_hex(3)}"  # another each time: that of before may be in use
    front.place(identity, pair)
    try:
        front.install(identity, pair, progress)
    except BaseException:
        front.volume.discard([identity])
        raise
    held = front.volume.read()
    counts = CERTIFICATE.facts_of(body).counts()
    return Restored(body.key, body.source, held.previous if held else "", counts)


def restore_beside(front: Front, repository: Repository, body: Body, into: str) -> Restored:
    """Its two files in a folder on the platform's host."""
    pair = read_pair(repository, body)
    remarks = []
    try:
        require_valid(pair, datetime.now(UTC))
    except BadPair as error:
        remarks.append(f"It cannot be used today: {error}. `platformctl certificate renew` makes another.")
    counts = CERTIFICATE.facts_of(body).counts()
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
