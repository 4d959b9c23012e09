"""A repository: a store with its keys and its policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.config.settings import Retention, StoreSettings
from engine.errors import ConfigurationError, CouldNotVerify
from engine.secrets import resolve
from engine.stores.base import Store
from engine.stores.opening import open_store
from engine.streams.unpack import parse_identities


@dataclass(frozen=True)
class Repository:
    """An open store with what its sets go by: whom they are encrypted to, how they are signed, how long they stay.

    Whoever reads or writes sets is given all of it, so that no step forgets the digest key. `retention` is by kind.
    """

    store: Store
    recipients: tuple[str, ...] = ()
    digest_key: str | None = field(default=None, repr=False)
    retention: Mapping[str, Retention] = field(default_factory=dict)
    identity_reference: str | None = None

    @property
    def suffix(self) -> str:
        """What the names of packed files end in."""
        return ".gz.age" if self.recipients else ".gz"

    def identities(self) -> tuple[str, ...]:
        """The private keys, read only when something is to be decrypted.

        Raises:
            ConfigurationError: none is configured or readable on this host.
        """
        if self.identity_reference is None:
            raise ConfigurationError(
                f"What is in {self.store.address} is encrypted and [stores.{self.store.name}] has no identity; "
                'give identity = "file:/path/of/the/private/key" on the host that restores.'
            )
        found = parse_identities(resolve(self.identity_reference))
        if not found or not all(map(_is_identity, found)):
            raise ConfigurationError(
                f"{self.identity_reference} is no file of age private keys (AGE-SECRET-KEY-1..., one in a line); "
                f"correct identity in [stores.{self.store.name}]."
            )
        return found


def open_repository(name: str, settings: StoreSettings) -> Repository:
    """Open a configured store.

    Raises:
        ConfigurationError: a recipient that is no age public key, or the store cannot be opened.
    """
    _check_recipients(name, settings.recipients)
    return Repository(
        store=open_store(name, settings),
        recipients=settings.recipients,
        digest_key=None if settings.digest_key is None else resolve(settings.digest_key),
        retention=settings.retention,
        identity_reference=settings.identity,
    )


def _check_recipients(name: str, recipients: tuple[str, ...]) -> None:
    if not recipients:
        return
    import pyrage

    for text in recipients:
        try:
            pyrage.x25519.Recipient.from_str(text)
        except (pyrage.RecipientError, ValueError):
            # A private key that was put here by mistake is not repeated.
            shown = repr(text[:80]) if text.startswith("age1") else "an entry"
            raise ConfigurationError(
                f"[stores.{name}] recipients has {shown}, which is no age public key (age1...); "
                "`platformctl keygen` makes a pair."
            ) from None


def _is_identity(text: str) -> bool:
    import pyrage

    try:
        pyrage.x25519.Identity.from_str(text)
    except (pyrage.IdentityError, ValueError):
        return False
    return True


def needs_identities(repository: Repository, encrypted: bool) -> tuple[str, ...]:
    """The identities for an encrypted set, none for a plain one.

    Raises:
        CouldNotVerify: the set is encrypted and no private key is here.
    """
    if not encrypted:
        return ()
    try:
        return repository.identities()
    except ConfigurationError as error:
        raise CouldNotVerify(str(error)) from None
