"""A certificate with its chain and its private key, both PEM: what it says, and whether it can be used. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from engine.errors import OperationFailed
from engine.words.wording import readable_time

CLOCKS_DIFFER = timedelta(minutes=10)
"""An authority's clock and ours may differ by so much; it dates back what it issues by an hour or so besides."""


class BadPair(OperationFailed):
    """It cannot be used: the sentence says why."""


@dataclass(frozen=True)
class Pair:
    """`chain`: the certificate first, then those that vouch for it."""

    chain: bytes
    key: bytes = field(repr=False)

    @cached_property
    def certificates(self) -> Sequence[x509.Certificate]:
        """Raises:
        BadPair: they are none.
        """
        try:
            return x509.load_pem_x509_certificates(self.chain)
        except ValueError:
            raise BadPair("what should be a certificate is none") from None

    @property
    def leaf(self) -> x509.Certificate:
        return self.certificates[0]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as hex."""
        return self.leaf.fingerprint(hashes.SHA256()).hex()

    @property
    def names(self) -> tuple[str, ...]:
        """The host names and addresses that it is for."""
        try:
            found = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ()
        return (*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress)))

    @property
    def begins(self) -> datetime:
        return self.leaf.not_valid_before_utc

    @property
    def ends(self) -> datetime:
        return self.leaf.not_valid_after_utc

    @property
    def self_signed(self) -> bool:
        return self.leaf.issuer == self.leaf.subject

    @property
    def issuer(self) -> str:
        """Who issued it, for people."""
        found = self.leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        return "itself" if self.self_signed else str(found[0].value) if found else self.leaf.issuer.rfc4514_string()

    @property
    def key_kind(self) -> str:
        """Such as `EC 256`."""
        public = self.leaf.public_key()
        kind = type(public).__name__.removesuffix("PublicKey").lstrip("_")
        return f"{kind} {getattr(public, 'key_size', '')}".strip()

    def days_left(self, now: datetime) -> float:
        return (self.ends - now) / timedelta(days=1)

    def renew_days(self, wanted: float) -> float:
        """With how many days left it is renewed: of one that lives shortly the last third."""
        return min(wanted, (self.ends - self.begins) / timedelta(days=3))


def require_whole(pair: Pair) -> None:
    """The key fits, and each certificate of the chain is signed by the next.

    Raises:
        BadPair: it does not, or one is not.
    """
    try:
        key = serialization.load_pem_private_key(pair.key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadPair("its private key is none, or is locked with a password") from None
    if _public(key.public_key()) != _public(pair.leaf.public_key()):
        raise BadPair("its private key is another's")
    for number, (each, above) in enumerate(zip(pair.certificates, pair.certificates[1:], strict=False), 1):
        try:
            each.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature):
            raise BadPair(f"certificate {number + 1} of its chain did not sign the one before it") from None


def is_certificate(pair: Pair) -> bool:
    """Whether its chain can be read."""
    try:
        return bool(pair.certificates)
    except BadPair:
        return False


def is_whole(pair: Pair) -> bool:
    """See `require_whole`."""
    try:
        require_whole(pair)
    except BadPair:
        return False
    return True


def is_usable(pair: Pair, now: datetime) -> bool:
    """It is whole, and valid at this time."""
    try:
        require_whole(pair)
        require_valid(pair, now)
    except BadPair:
        return False
    return True


def require_for(pair: Pair, names: Sequence[str]) -> None:
    """It is for these names and no other.

    Raises:
        BadPair: it is for others.
    """
    if set(pair.names) != set(names):
        raise BadPair(f"it is for {', '.join(pair.names) or 'no host'}, not for {', '.join(names)}")


def require_valid(pair: Pair, now: datetime) -> None:
    """It can be used at this time.

    Raises:
        BadPair: not yet, or no more; a clock may be wrong.
    """
    if pair.begins > now + CLOCKS_DIFFER:
        raise BadPair(
            f"it is valid from {readable_time(pair.begins)} on, and here it is {readable_time(now)}: look at the clocks"
        )
    if pair.ends <= now:
        raise BadPair(
            f"it was valid until {readable_time(pair.ends)}, and here it is {readable_time(now)}: look at the clocks"
        )


def pem_of(der: bytes) -> bytes:
    """A certificate as TLS hands it over, as PEM."""
    return ssl.DER_cert_to_PEM_cert(der).encode()


def _public(key: object) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]
