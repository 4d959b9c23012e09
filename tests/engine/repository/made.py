"""Sets made for tests: small ones in a store, and a store in memory where faults can be injected."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby

from engine.errors import NotFound, PlatformOpsError
from engine.repository.body import Body, FileEntry
from engine.repository.keys import TIME, SetKey
from engine.repository.manifest import to_json
from engine.repository.repository import Repository
from engine.repository.stored import StoredSet
from engine.repository.verdict_keys import Check, VerdictKey, VerdictResult, verdict_folder, verdict_named
from engine.repository.verdicts import State
from engine.stores.base import (
    ByteReader,
    ByteWriter,
    Deletion,
    Mark,
    Store,
    StoredFolder,
    StoredObject,
    checked_key,
    checked_prefix,
    is_key,
    no_mark,
)

NOW = datetime(2026, 2, 7, 18, 0, tzinfo=UTC)


class MemoryStore:
    """A Store in memory. `failing` keys raise when read, `locked` ones are held by an object lock,
    `dies_after` so many deletions the process is killed."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.address = f"{name}:"
        self.objects: dict[str, bytes] = {}
        self.failing: dict[str, PlatformOpsError] = {}
        self.locked: set[str] = set()
        self.dies_after: int | None = None
        self.requests: list[str] = []

    @contextmanager
    def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
        buffer = io.BytesIO()
        yield buffer
        self.objects[checked_key(key)] = buffer.getvalue()

    def create(self, key: str, data: bytes) -> bool:
        return self.objects.setdefault(checked_key(key), data) is data

    @contextmanager
    def reader(self, key: str, *, again: bool = False) -> Iterator[ByteReader]:
        self.requests += [f"again {key}"] if again else []
        if key in self.failing:
            raise self.failing[key]
        if key not in self.objects:
            raise NotFound(f"{key} is not in memory.")
        yield io.BytesIO(self.objects[key])

    def keys(self, prefix: str = "") -> Iterator[str]:
        self.requests.append(f"list {checked_prefix(prefix)}")
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def folders(self, prefix: str = "", mark: Mark = no_mark) -> Iterator[StoredFolder]:
        for path, group in groupby(filter(is_key, self.keys(prefix)), key=lambda key: key.rpartition("/")[0]):
            keys = list(group)
            size = sum(len(self.objects[key]) for key in keys)
            yield StoredFolder(path, [key.rpartition("/")[2] for key in keys], size)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return (StoredObject(key, len(self.objects[key]), NOW) for key in self.keys(prefix))

    def delete(self, keys: Iterable[str]) -> Deletion:
        wanted = [checked_key(key) for key in keys]
        if wanted:
            self.requests.append(f"delete {len(wanted)}")
        for key in wanted:
            if self.dies_after == 0:
                raise KeyboardInterrupt
            if key not in self.locked:
                self.objects.pop(key, None)
                self.dies_after = None if self.dies_after is None else self.dies_after - 1
        return Deletion(
            tuple(key for key in wanted if key not in self.locked),
            tuple(key for key in wanted if key in self.locked),
        )

    def sweep(self, prefix: str = "") -> int:
        return 0


def when(text: str) -> datetime:
    """`2026-02-07` or `2026-02-07 17:00`, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def a_key(text: str, name: str = "", source: str = "platform", kind: str = "") -> SetKey:
    """The key of a set begun at `text`, such as `2026-02-07` or `2026-02-07 17:00`: a database's where there is a name,
    else a cluster's."""
    return SetKey(source, kind or ("db" if name else "cluster"), name, f"{when(text):{TIME}}-abcd1234")


def a_stored_set(text: str, state: State = "recorded", name: str = "") -> StoredSet:
    key = a_key(text, name)
    return StoredSet(key, key.created, state, 100, 3)


def a_verdict(key: SetKey, text: str, check: Check, result: VerdictResult) -> VerdictKey:
    return VerdictKey(key, when(text), check, result)


def a_body(key: SetKey, files: dict[str, bytes]) -> Body:
    entries = tuple(
        FileEntry(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest(), role="dump")
        for name, data in files.items()
    )
    return Body(
        source=key.source,
        kind=key.kind,
        name=key.name,
        set_id=key.set_id,
        created=key.created,
        files=entries,
        encrypted=False,
        product_version="0.1.0",
        facts={"server_version": "16.2"},
    )


def write(store: Store, key: str, data: bytes) -> None:
    with store.writer(key) as target:
        target.write(data)


def store_set(
    store: Store, key: SetKey, files: dict[str, bytes] | None = None, digest_key: str | None = None
) -> SetKey:
    """Store a small set: its files, then its manifest."""
    files = {"app.dump.gz": b"dump" * 500, "proof.json.gz": b"proof"} if files is None else files
    for name, data in files.items():
        write(store, key.prefix + name, data)
    write(store, key.manifest, to_json(Repository(store, digest_key=digest_key), a_body(key, files)))
    return key


def judge(store: Store, key: SetKey, check: Check, result: VerdictResult, text: str) -> None:
    """Store an (empty) verdict about a set."""
    write(store, str(a_verdict(key, text, check, result)), b"{}")


def parse_verdict_key(key: str) -> VerdictKey | None:
    """The verdict a stored key is; None when it is none."""
    folder, _, name = key.rpartition("/")
    asset = verdict_folder(folder)
    return verdict_named(asset, name) if asset else None
