"""Read a set's files back, hashed while they stream."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Generator
from typing import TypeVar

from engine.errors import CouldNotVerify, DamagedSet, UnsteadyStore
from engine.repository.body import Body, FileEntry
from engine.repository.keys import SetKey
from engine.repository.missing import missing_is_damage
from engine.repository.repository import Repository, needs_identities
from engine.stores.base import Store
from engine.streams.pack import CHUNK
from engine.streams.unpack import DamagedStreamError, WrongKeyError, unpack_bytes

_SMALL = 1 << 30
_TRIES = 3
_Read = TypeVar("_Read")
_log = logging.getLogger(__name__)


def steadily(read: Callable[[bool], _Read]) -> _Read:
    """What `read` gives. Where the store changes its answer that is said, and `read(True)` reads another way.

    Raises:
        UnsteadyStore: it does so three times in a row.
    """
    for tried in range(_TRIES - 1):
        try:
            return read(tried > 0)
        except UnsteadyStore as error:
            _log.warning("%s", error)
    return read(True)


def hashed(store: Store, key: str, *, again: bool = False) -> tuple[int, str]:
    """Size and SHA-256 of a file of a set, as the store gives it now.

    Raises:
        DamagedSet: it is not there.
    """
    digest, size = hashlib.sha256(), 0
    with missing_is_damage(), store.reader(key, again=again) as source:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def stored_pieces(
    repository: Repository, key: SetKey, file: FileEntry, *, again: bool = False
) -> Generator[bytes, None, None]:
    """The stored bytes of a file; when they end, they have been compared with the manifest.

    Where they differ they are read once more, another way: only the same answer twice is damage.

    Raises:
        DamagedSet: they differ, or are not there.
        UnsteadyStore: they do so in this reading only: start again.
    """
    digest, size = hashlib.sha256(), 0
    with missing_is_damage(), repository.store.reader(key.prefix + file.name, again=again) as reader:
        while piece := reader.read(CHUNK):
            digest.update(piece)
            size += len(piece)
            if size > file.size:
                break
            yield piece
    if size != file.size or digest.hexdigest() != file.sha256:
        found = hashed(repository.store, key.prefix + file.name, again=True)
        # Of a file that is too long no more than that was read.
        same = found[0] > file.size if size > file.size else found == (size, digest.hexdigest())
        raise differs(repository, key, file.name) if same else unsteady(repository, key, file.name)


def differs(repository: Repository, key: SetKey, name: str) -> DamagedSet:
    return DamagedSet(
        f"{key} in {repository.store.address} differs from its manifest at {name}; use another set (`list` shows them)."
    )


def unsteady(repository: Repository, key: SetKey, name: str) -> UnsteadyStore:
    return UnsteadyStore(
        f"{repository.store.address} gave other bytes of {name} of {key} at a second reading, so nothing is held against "
        "the set; start again, and look at the disks and the memory of that store and at the network to it."
    )


def read_small(repository: Repository, body: Body, file: FileEntry) -> bytes:
    """A small file of a set (a proof, the globals), checked, decrypted and unpacked.

    Raises:
        DamagedSet: it is.
        CouldNotVerify: encrypted, and no fitting private key is here; or the store changes its answers.
    """
    if file.size > _SMALL:
        raise DamagedSet(
            f"{body.key}: {file.name} of {file.size} bytes is too large to be what it says; use another set."
        )
    stored = steadily(lambda again: b"".join(stored_pieces(repository, body.key, file, again=again)))
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
