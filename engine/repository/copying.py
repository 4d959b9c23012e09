"""Copy a recorded set to another store, byte for byte: it is encrypted and signed as it is.

1. Files first, each compared with the manifest (size and SHA-256) while it streams; the manifest last.
   A copy that failed is no set. What is whole of it stays, so that the next try has less to do.
2. Nothing is written to the first store or deleted from it. Verdicts stay where they were found: they
   tell about the bytes of their own store, so a copy is *recorded* until it is verified or drilled there.
3. A store that asks for encryption gets no plain set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError
from engine.progress import Progress, Throttled, silent
from engine.repository.body import Body, FileEntry
from engine.repository.keys import MANIFEST, SetKey
from engine.repository.manifest import read_checked, stored_bytes
from engine.repository.needs import require_needs
from engine.repository.parsing import parse_set
from engine.repository.reading import hashed, steadily, stored_pieces
from engine.repository.repository import Repository
from engine.stores.base import Store


@dataclass(frozen=True, slots=True)
class CopyResult:
    """One set's copy: files and bytes that were sent, none when it was there whole already."""

    key: SetKey
    files: int
    bytes: int
    seconds: float


def copy_set(first: Repository, destination: Repository, key: SetKey, progress: Progress = silent) -> CopyResult:
    """Copy one set. One that is there whole is left as it is; a half one is finished.

    The caller holds the source's lock.

    Raises:
        OperationFailed: the set differs from its manifest, or another is stored under its key.
        ConfigurationError: the destination asks for encryption and the set has none, or the two stores
            have different digest keys.
        TransientFailure: what the set needs is not in the destination.
        PlatformOpsError: see `manifest.from_json`; or one of the stores failed.
    """
    began, store = time.monotonic(), destination.store
    data, body = read_checked(first, key)
    _check_fits(first, destination, body)
    there = {one.key.removeprefix(key.prefix): one.size for one in store.list(key.prefix)}
    if MANIFEST in there:
        if _is_whole(destination, body, data, there):
            return CopyResult(key, 0, 0, time.monotonic() - began)
        store.delete([key.manifest])  # it is no set until it is whole
    require_needs(destination, key, [parse_set(text) for text in body.needs])
    _clear(store, key, there.keys() - {file.name for file in body.files} - {MANIFEST})
    sent = _send(first, store, body, there, progress)
    with store.writer(key.manifest, expected_bytes=len(data)) as writer:
        writer.write(data)
    total = sum(file.size for file in sent) + len(data)
    return CopyResult(key, len(sent) + 1, total, time.monotonic() - began)


def _check_fits(first: Repository, destination: Repository, body: Body) -> None:
    one, other = f"[stores.{first.store.name}]", f"[stores.{destination.store.name}]"
    if destination.recipients and not body.encrypted:
        raise ConfigurationError(
            f"{body.key} is not encrypted and {other} has recipients, so it was not copied there; "
            f"give {one} the same recipients (a copy is byte for byte)."
        )
    if first.digest_key != destination.digest_key:
        raise ConfigurationError(
            f"{one} and {other} have different digest keys, so {body.key} was not copied: its manifest would "
            "count as changed there; give both the same digest_key."
        )


def _is_whole(destination: Repository, body: Body, data: bytes, there: dict[str, int]) -> bool:
    """Whether the set is stored with all its files and no other, by their sizes.

    Raises:
        OperationFailed: it is another set.
    """
    if stored_bytes(destination, body.key) != data and stored_bytes(destination, body.key, again=True) != data:
        raise OperationFailed(
            f"{body.key} in {destination.store.address} has another manifest than the set that was to be copied there; nothing "
            "was overwritten: find out which of the two is right and move the other away."
        )
    return {**{file.name: file.size for file in body.files}, MANIFEST: len(data)} == there


def _clear(store: Store, key: SetKey, names: Iterable[str]) -> None:
    """Remove files that do not belong to the set: `gunzip -c *.sql.gz | psql` would run them."""
    held = store.delete([key.prefix + name for name in sorted(names)]).retained
    if held:
        raise OperationFailed(
            f"{held[0]} in {store.address} does not belong to its set and an object lock holds it, so the set was "
            "not copied there; remove it when the lock ends."
        )


def _send(first: Repository, store: Store, body: Body, there: dict[str, int], progress: Progress) -> list[FileEntry]:
    """Store the files that are not there yet. What no new try would finish is taken back."""
    sent: list[FileEntry] = []
    report = _Reporter(f"copy {body.key} to {store.name}", body.size, progress)
    try:
        for file in body.files:
            if there.get(file.name) == file.size and _is_equal(store, body.key, file):
                report(file.size)
                continue
            steadily(partial(_send_file, first, store, body.key, file, report))
            sent.append(file)
    except PlatformOpsError as error:
        if not error.retryable:
            with suppress(PlatformOpsError):
                store.delete([body.key.prefix + file.name for file in sent])
        raise
    return sent


def _send_file(
    first: Repository, store: Store, key: SetKey, file: FileEntry, report: Callable[[int], None], again: bool
) -> None:
    with (
        store.writer(key.prefix + file.name, expected_bytes=file.size) as writer,
        closing(stored_pieces(first, key, file, again=again)) as pieces,
    ):
        for piece in pieces:  # raises at the end when it differs from the manifest: no file then
            writer.write(piece)
            report(len(piece))


def _is_equal(store: Store, key: SetKey, file: FileEntry) -> bool:
    """Whether what an earlier try stored is this very file."""
    return hashed(store, key.prefix + file.name) == (file.size, file.sha256)


class _Reporter:
    """Progress by bytes: told at once, then now and then."""

    def __init__(self, what: str, total: int, progress: Progress) -> None:
        self._what, self._done, self._total = what, 0, total
        self._tick = Throttled(progress)
        progress(what, 0, total)

    def __call__(self, count: int) -> None:
        self._done += count
        self._tick(self._what, self._done, self._total)
