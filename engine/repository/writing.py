"""Write a set: its files first, each whole or not at all, and the manifest last: from then on the set exists."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import IO, cast

from pydantic import BaseModel

from engine.errors import OperationFailed, PlatformOpsError, TransientFailure
from engine.repository.body import Body, FileEntry, Timing
from engine.repository.catalogue import contents
from engine.repository.keys import MANIFEST, SetKey
from engine.repository.manifest import write_manifest
from engine.repository.needs import require_needs
from engine.repository.repository import Repository
from engine.stores.base import ByteWriter
from engine.streams.pack import CHUNK, IteratorReader, encrypt, pack_bytes
from engine.streams.pipes import pieces_of
from engine.version import VERSION


class SetWriter:
    """The files of one set before it is published, and what its manifest is going to say.

    Several threads may add files. What is added is remembered before it is written, so that `withdraw` takes back
    all that may be there.
    """

    def __init__(self, repository: Repository, key: SetKey) -> None:
        self.repository = repository
        self.key = key
        self.missing: list[str] = []
        self.needs: list[SetKey] = []
        self.timings: dict[str, Timing] = {}
        self.sample_percent = 100
        self._names: set[str] = set()
        self._files: dict[str, FileEntry] = {}

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """What is stored, in the order of the names."""
        return tuple(sorted(self._files.values(), key=lambda file: file.name))

    def adopt(self, files: Iterable[FileEntry]) -> None:
        """Files that others have stored for this set belong to it too."""
        self._files.update({file.name: file for file in files})

    def add(self, name: str, data: bytes, role: str, of: str = "") -> FileEntry:
        """Pack and store something small. `name` gets the ending that packed files have here."""
        packed = pack_bytes(data, self.repository.recipients)
        whole = self._new_name(name)
        with self.repository.store.writer(self.key.prefix + whole, expected_bytes=len(packed)) as writer:
            writer.write(packed)
        return self._stored(whole, len(packed), hashlib.sha256(packed).hexdigest(), role, of)

    def add_packed(
        self,
        name: str,
        packed: IO[bytes],
        role: str,
        of: str = "",
        *,
        whole: Callable[[], bool],
        encrypt_here: bool,
        expected_bytes: int | None = None,
    ) -> FileEntry:
        """Store what comes, gzipped already. It gets its name only when `whole` says that all it comes from ended well.

        `encrypt_here`: it is not encrypted yet; it is encrypted on its way where the repository has recipients.

        Raises:
            BrokenPipeError: not all came; nothing is left.
            PlatformOpsError: the store failed.
        """
        to = self.repository.recipients if encrypt_here else ()
        with packed:
            return self._add(name, partial(_send, packed, pieces_of(packed), to), role, of, whole, expected_bytes)

    def add_pieces(
        self, name: str, pieces: Iterator[bytes], role: str, of: str = "", *, whole: Callable[[], bool]
    ) -> FileEntry:
        """The same for what this process gzips, which is encrypted on its way where the repository has recipients."""
        send = partial(_send, cast("IO[bytes]", IteratorReader(pieces)), pieces, self.repository.recipients)
        return self._add(name, send, role, of, whole, None)

    def _add(
        self,
        name: str,
        send: Callable[[_Sink], None],
        role: str,
        of: str,
        whole: Callable[[], bool],
        expected: int | None,
    ) -> FileEntry:
        named = self._new_name(name)
        with self.repository.store.writer(self.key.prefix + named, expected_bytes=expected) as writer:
            sink = _Sink(writer)
            try:
                send(sink)
            except BrokenPipeError:
                raise sink.error or BrokenPipeError() from None
            if not whole():
                raise BrokenPipeError
        return self._stored(named, sink.size, sink.digest.hexdigest(), role, of)

    def begin(self) -> None:
        """What an earlier try left and could not take back goes, but for what was adopted: a file more is as bad as a
        file less. A manifest goes first, or not at all: what can be seen is whole.

        Raises:
            OperationFailed: the set exists, and stays.
            PlatformOpsError: the store cannot be listed, or refuses.
        """
        store = self.repository.store
        left = contents(self.repository, self.key)
        if MANIFEST in left and store.delete([self.key.manifest]).retained:
            raise OperationFailed(
                f"{self.key} in {store.address} was published by a try that then failed, and an object lock holds it; "
                "run the backup again, which makes another one."
            )
        store.delete([self.key.prefix + name for name in sorted(left.keys() - self._files.keys() - {MANIFEST})])

    def publish(self, facts: BaseModel) -> Body:
        """Write the manifest with the kind's own `facts`: from now on the set exists.

        Raises:
            TransientFailure: not all of its files are there any more, or not all sets that it needs.
        """
        self._check_all_there()
        require_needs(self.repository, self.key, self.needs)
        key, recipients = self.key, self.repository.recipients
        body = Body(
            source=key.source,
            kind=key.kind,
            name=key.name,
            set_id=key.set_id,
            created=key.created,
            files=self.files,
            encrypted=bool(recipients),
            recipients=recipients,
            product_version=VERSION,
            timings=self.timings,
            missing=tuple(self.missing),
            needs=tuple(map(str, self.needs)),
            sample_percent=self.sample_percent,
            facts=facts.model_dump(mode="json"),
        )
        write_manifest(self.repository, body)
        return body

    def withdraw(self) -> None:
        """Take back all that this writer may have stored, the manifest first.

        Raises:
            PlatformOpsError: the store refuses; the lock's next holder sweeps.
        """
        names = sorted(self._names)
        self.repository.store.delete([self.key.manifest, *(self.key.prefix + name for name in names)])

    def _new_name(self, name: str) -> str:
        whole = name + self.repository.suffix
        self._names.add(whole)
        return whole

    def _stored(self, name: str, size: int, sha256: str, role: str, of: str) -> FileEntry:
        entry = FileEntry(name=name, size=size, sha256=sha256, role=role, of=of)
        self._files[name] = entry
        return entry

    def _check_all_there(self) -> None:
        """Who lost the lock (its session was ended) may be at work yet while the next holder sweeps."""
        stored = contents(self.repository, self.key)
        if gone := next((file.name for file in self.files if stored.get(file.name) != file.size), None):
            raise TransientFailure(
                f"{self.key} in {self.repository.store.address} was not published: {gone} is not there any more as it "
                "was written; another run took this one for dead and swept it. Run the backup again."
            )


class _Sink:
    """Where what is stored goes, in large pieces: counted and hashed. `error` is what the store raised."""

    def __init__(self, writer: ByteWriter) -> None:
        self._writer = writer
        self._held = bytearray()
        self.digest = hashlib.sha256()
        self.size = 0
        self.error: PlatformOpsError | None = None

    def write(self, data: bytes) -> int:
        if len(data) >= CHUNK // 4:
            self.flush()
            self._pass(data)
        else:
            self._held += data
            if len(self._held) >= CHUNK:
                self.flush()
        return len(data)

    def flush(self) -> None:
        if self._held:
            piece = bytes(self._held)
            self._held.clear()
            self._pass(piece)

    def _pass(self, piece: bytes) -> None:
        self.digest.update(piece)
        self.size += len(piece)
        try:
            self._writer.write(piece)
        except PlatformOpsError as error:
            self.error = error
            raise


def _send(packed: IO[bytes], pieces: Iterable[bytes], to: Sequence[str], sink: _Sink) -> None:
    """What can be read from `packed`, or is in `pieces`."""
    if to:
        with io.BufferedReader(cast("io.RawIOBase", packed), CHUNK) as source:
            encrypt(source, sink, to)
    else:
        for piece in pieces:
            sink.write(piece)
    sink.flush()
