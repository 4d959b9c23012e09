"""Read a set back: the manifest, checked, and its files, hashed while they stream."""

from __future__ import annotations

import hashlib
from collections.abc import Generator

from engine.errors import CouldNotVerify, DamagedSet
from engine.sets import manifest
from engine.sets.keys import SetKey
from engine.sets.manifest import Body, FileEntry
from engine.sets.target import Target, needs_identities
from engine.streams.pack import CHUNK
from engine.streams.unpack import DamagedStreamError, WrongKeyError, unpack_bytes

_SMALL = 1 << 30


def read_manifest(target: Target, key: SetKey) -> Body:
    """The set's manifest, as `manifest.read_manifest` checks it."""
    return manifest.read_manifest(target.store, key, target.digest_key)


def stored_pieces(target: Target, key: SetKey, file: FileEntry) -> Generator[bytes, None, None]:
    """The stored bytes of a file; when they end, they have been compared with the manifest.

    Raises:
        DamagedSet: they differ.
    """
    digest, size = hashlib.sha256(), 0
    with target.store.reader(key.prefix + file.name) as reader:
        while piece := reader.read(CHUNK):
            digest.update(piece)
            size += len(piece)
            if size > file.size:
                break
            yield piece
    if size != file.size or digest.hexdigest() != file.sha256:
        raise differs(target, key, file.name)


def differs(target: Target, key: SetKey, name: str) -> DamagedSet:
    return DamagedSet(
        f"{key} in {target.store.address} differs from its manifest at {name}; use another set (`list` shows them)."
    )


def read_small(target: Target, key: SetKey, file: FileEntry, encrypted: bool) -> bytes:
    """A small file of a set (a proof, the globals), checked, decrypted and unpacked.

    Raises:
        DamagedSet: it is.
        CouldNotVerify: encrypted, and no fitting private key is here.
    """
    if file.size > _SMALL:
        raise DamagedSet(
            f"{key}: {file.name} of {file.size} bytes is too large to be what it says; use another set."
        )
    stored = b"".join(stored_pieces(target, key, file))
    try:
        return unpack_bytes(stored, needs_identities(target, encrypted))
    except WrongKeyError:
        raise wrong_key(target, key) from None
    except DamagedStreamError:
        raise damaged(target, key, file.name) from None


def damaged(target: Target, key: SetKey, name: str) -> DamagedSet:
    return DamagedSet(
        f"{key} in {target.store.address}: {name} is damaged and cannot be unpacked; use another set."
    )


class NoFittingKey(CouldNotVerify):
    """No private key here opens it, as it seems: a file whose head was changed looks the same."""


def wrong_key(target: Target, key: SetKey) -> NoFittingKey:
    return NoFittingKey(
        f"The private key of [stores.{target.store.name}] does not open {key}; "
        "configure the identity that belongs to one of the recipients in its manifest."
    )
