"""A certificate as a source; see `engine.sources.base` for the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from engine.config.platforms import PlatformSettings
from engine.errors import ConfigurationError, ItemGone
from engine.hosts.settings import HostSettings
from engine.progress import Progress, silent
from engine.releases import lock
from engine.releases.platform import open_platform
from engine.repository.body import Body
from engine.repository.catalogue import catalogue
from engine.repository.keys import Asset, SetKey
from engine.repository.manifest import read_manifest
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.sources.base import Restored, Source
from engine.sources.certificates.facts import CERTIFICATE, CertificateFacts
from engine.sources.certificates.front import Front, Shown
from engine.sources.certificates.pair import Pair, require_whole
from engine.sources.certificates.renewal import Renewed, due, renew
from engine.sources.certificates.restore import beside, restore_beside, restore_in_place
from engine.sources.certificates.settings import CertificateSettings
from engine.sources.item import Item, Run, Unchanged

CHAIN, KEY = "certificate", "key"
"""The roles of a set's files."""


class CertificateSource(Source):
    """The certificate of one platform's nginx."""

    settings: CertificateSettings

    def __init__(
        self, name: str, settings: CertificateSettings, host: HostSettings, platform: PlatformSettings
    ) -> None:
        self.name = name
        self.settings = settings
        self.front = Front(open_platform(settings.platform, platform, host))
        self._found: Shown | None = None

    @property
    def address(self) -> str:
        return f"the nginx of {self.settings.platform}"

    @contextmanager
    def lock(self, label: str) -> Iterator[lock.Held]:
        """The platform's own: no deploy replaces nginx meanwhile."""
        with lock.held(self.front.platform.site, label) as held:
            yield held

    def sweep(self) -> None:
        self.front.settle(silent)

    def items(self) -> Sequence[Item]:
        found = self._found = self.front.found()  # it stays so while the platform's lock is held
        if found is None:
            return [Item(CERTIFICATE.name, skipped="there is none yet")]
        return [Item(CERTIFICATE.name, size=len(found.pair.chain) + len(found.pair.key))]

    def backup(self, item: Item, run: Run, out: SetWriter, progress: Progress) -> CertificateFacts | Unchanged:
        del item, run, progress
        require_may_be_stored(self.settings, out.repository)
        found = self._found
        if found is None:
            raise ItemGone(f"{self.address} has no certificate any more.")
        require_whole(found.pair)
        if stored := self._stored(out.repository, found.pair):
            return Unchanged(stored)
        out.add("fullchain.pem", found.pair.chain, CHAIN)
        out.add("privkey.pem", found.pair.key, KEY)
        return CertificateFacts.of(self.settings.platform, found.pair)

    def remarks(self, items: Sequence[Item]) -> Sequence[str]:
        found = self._found
        why = due(found, self.settings, datetime.now(UTC)) if found else ""
        more = (f"The certificate is to be renewed: {why}.",) if why else ()
        odd = (f"{self.front.unsettled[0].upper()}{self.front.unsettled[1:]}",) if self.front.unsettled else ()
        return (*super().remarks(items), *more, *odd)

    def taken(self, name: str) -> bool:
        if name == self.name:
            return self.front.found() is not None
        return self.front.platform.site.read(f"{beside(name)}/fullchain.pem") is not None

    def restore(self, repository: Repository, body: Body, into: str, *, in_place: bool, progress: Progress) -> Restored:
        if in_place and into != self.name:
            raise ConfigurationError(f"In place a certificate is called {self.name}; leave the other name out.")
        if in_place:
            return restore_in_place(self.front, self.settings.names, repository, body, progress)
        return restore_beside(self.front, repository, body, into)

    # Beside the contract ------------------------------------------------------------------------------------------

    def renew(self, label: str, progress: Progress, *, force: bool = False) -> Renewed:
        """See `renewal.renew`, which takes the lock where it needs it."""
        return renew(self.front, self.settings, partial(self.lock, label), progress, force=force)

    def _stored(self, repository: Repository, pair: Pair) -> SetKey | None:
        """The newest set that is good as far as is known, where it holds this pair."""
        newest = catalogue(repository, self.name).newest(Asset(self.name, CERTIFICATE.name, ""), "newest-usable")
        if newest is None:
            return None
        facts = CertificateFacts.model_validate(read_manifest(repository, newest.key).facts)
        return newest.key if facts == CertificateFacts.of(self.settings.platform, pair) else None


def require_may_be_stored(settings: CertificateSettings, repository: Repository) -> None:
    """A private key is as secret as what it protects.

    Raises:
        ConfigurationError: the store encrypts nothing, and nobody said that it may be so.
    """
    if not repository.recipients and not settings.allow_unencrypted:
        raise ConfigurationError(
            f"{repository.store.address} encrypts nothing, so the private key is not stored there: give [stores."
            f"{repository.store.name}] recipients (`platformctl keygen`), or say allow_unencrypted = true."
        )
