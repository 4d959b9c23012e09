"""Read a set's files back, hashed while they stream."""

from __future__ import annotations

import hashlib
from collections.abc import Generator

from engine.errors import CouldNotVerify, DamagedSet
from engine.repository.body import Body, FileEntry
from engine.repository.keys import SetKey
from engine.repository.missing import missing_is_damage
from engine.repository.repository import Repository, needs_identities
from engine.streams.pack import CHUNK
from engine.streams.unpack import DamagedStreamError, WrongKeyError, unpack_bytes

_SMALL = 1 << 30


def stored_pieces(repository: Repository, key: SetKey, file: FileEntry) -> Generator[bytes, None, None]:
    """The stored bytes of a file; when they end, they have been compared with the manifest.

    Raises:
        DamagedSet: they differ, or are not there.
    """
    digest, size = hashlib.sha256(), 0
    with missing_is_damage(), repository.store.reader(key.prefix + file.name) as reader:
        while piece := reader.read(CHUNK):
            digest.update(piece)
            size += len(piece)
            if size > file.size:
                break
            yield piece
    if size != file.size or digest.hexdigest() != file.sha256:
        raise differs(repository, key, file.name)


def differs(repository: Repository, key: SetKey, name: str) -> DamagedSet:
    return DamagedSet(
        f"{key} in {repository.store.address} differs from its manifest at {name}; use another set (`list` shows them)."
    )


def read_small(repository: Repository, body: Body, file: FileEntry) -> bytes:
    """A small file of a set (a proof, the globals), checked, decrypted and unpacked.

    Raises:
        DamagedSet: it is.
        CouldNotVerify: encrypted, and no fitting private key is here.
    """
    if file.size > _SMALL:
        raise DamagedSet(
            f"{body.key}: {file.name} of {file.size} bytes is too large to be what it says; use another set."
        )
    stored = b"".join(stored_pieces(repository, body.key, file))
    try:
        return unpack_bytes(stored, needs_identities(repository, body.encrypted))
    except WrongKeyError:
        raise wrong_key(repository, body.key) from None
    except DamagedStreamError:
        raise damaged(repository, body.key, file.name) from None


def damaged(repository: Repository, key: SetKey, name: str) -> DamagedSet:
    return DamagedSet(
        f"{key} in {repository.store.address}: {name} is damaged and cannot be unpacked; use another set."
    )


class NoFittingKey(CouldNotVerify):
    """No private key here opens it, as it seems: a file whose head was changed looks the same."""


def wrong_key(repository: Repository, key: SetKey) -> NoFittingKey:
    return NoFittingKey(
        f"The private key of [stores.{repository.store.name}] does not open {key}; "
        "configure the identity that belongs to one of the recipients in its manifest."
    )
