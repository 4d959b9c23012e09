"""What a restore reads: the set's small files, and a checked copy of the large one's stored bytes.

Nothing of a set is executed before all its stored bytes were found to be those of the manifest. The
copy, still compressed and encrypted, is what is restored, so that nobody can change it in between,
and a store across a network is read once.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine.errors import DamagedSet, OperationFailed
from engine.progress import Progress, Throttled
from engine.repository.body import Body, FileEntry
from engine.repository.manifest import read_manifest
from engine.repository.reading import read_small, steadily, stored_pieces
from engine.repository.repository import Repository
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.restore.choice import RestoreChoice
from engine.sources.postgres.restore.replay import read_proof
from engine.sources.postgres.server.raw_text import to_text
from engine.streams.pipes import write_all


@dataclass(frozen=True)
class Source:
    """One database of a set, checked. `spool` is a private folder of this run; `stored` the copy in it."""

    repository: Repository
    choice: RestoreChoice
    body: Body
    file: FileEntry
    proof: DatabaseProof
    spool: Path

    @property
    def stored(self) -> Path:
        return self.spool / "stored"

    def globals_sql(self) -> str:
        """The SQL of the set's roles.

        Raises:
            PlatformOpsError: it is damaged, or cannot be decrypted here.
        """
        file = self.body.file("globals")
        if file is None:
            raise DamagedSet(f"{self.choice.key} lacks its roles; use another set.")
        return to_text(read_small(self.repository, self.body, file))


def read_source(repository: Repository, choice: RestoreChoice, spool: Path, progress: Progress) -> Source:
    """Read and check everything a restore of one database needs; the server is not touched.

    Raises:
        OperationFailed: the set is damaged or lacks what it takes, or there is no room for the copy.
        CouldNotVerify: it cannot be decrypted here.
    """
    body = read_manifest(repository, choice.key)
    own = body.of_roles("sql", "dump")
    dump = next((file for file in own if file.of == choice.database), None)
    proof = body.file("proof", choice.database)
    if dump is None or proof is None:
        raise OperationFailed(f"{choice.key} has no dump with a proof of {choice.database!r}; use another set.")
    expected = read_proof(repository, body, proof)
    source = Source(repository, choice, body, dump, expected, spool)
    steadily(lambda again: _copy(source, progress, again))
    return source


def _copy(source: Source, progress: Progress, again: bool) -> None:
    source.stored.unlink(missing_ok=True)
    what, size = f"check the stored bytes of {source.choice.database}", source.file.size
    progress(what, 0, size)
    tick, copied = Throttled(progress), 0
    with source.stored.open("xb", buffering=0) as copy, ThreadPoolExecutor(1) as writer:
        source.stored.chmod(0o600)
        written: Future[None] | None = None
        for piece in stored_pieces(source.repository, source.choice.key, source.file, again=again):
            # While one piece is written the next one is read and hashed.
            _wait_for(source, written)
            written = writer.submit(write_all, copy, piece)
            copied += len(piece)
            tick(what, copied, size)
        _wait_for(source, written)


def _wait_for(source: Source, written: Future[None] | None) -> None:
    try:
        if written is not None:
            written.result()
    except OSError as error:
        raise _no_room(source, error) from None


def _no_room(source: Source, error: OSError) -> OperationFailed:
    return OperationFailed(
        f"The {source.file.size:,} bytes of {source.file.name} cannot be kept in {source.spool.parent} during the "
        f"restore: {error.strerror}; make room there, or set TMPDIR to a folder that has it."
    )
