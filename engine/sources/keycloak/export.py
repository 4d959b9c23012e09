"""Export a realm, and take one in: by Keycloak's own program where it runs, through a pipe."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Timer

from isal import isal_zlib

from engine.errors import OperationFailed, PlatformOpsError, TransientFailure
from engine.hosts.base import Host, Readable
from engine.sources.keycloak.pages import Joined, paged
from engine.sources.keycloak.programs import (
    MEMORY,
    PER_FILE,
    environment,
    export_argv,
    import_argv,
    import_pages_argv,
    pages_argv,
)
from engine.sources.keycloak.realm import Realm, read_realm
from engine.sources.keycloak.settings import RealmSettings
from engine.sources.keycloak.stream import NoRealm
from engine.streams.process import Patient, Process

_END_SECONDS, _BROKEN_SECONDS = 60.0, 10.0
_SILENT = 6
"""An import gives no sign of life before its end: it has so many times the time that another silence may last."""
_AT_ONCE = 500
"""So many users are exported in one transaction: with more the time grows faster than their number."""
_QUOTED = re.compile(r"\"[^\"]*(?:\"|$)|'[^']*(?:'|$)")
_ROW = re.compile(r"\b(?:Detail|DETAIL): |\bKey \(")
_GZIP = 31  # zlib's wbits for a gzip header and trailer


class Refused(TransientFailure):
    """Keycloak's program ended by itself, and said why."""


@dataclass(frozen=True)
class Exported:
    """A realm as Keycloak exported it, compressed: `packed` is held in memory, never on a disk."""

    realm: Realm
    packed: bytes


@dataclass(frozen=True)
class Keycloak:
    """Keycloak's program on a host. `owner` is in the environment of what is started, with
    `variables`."""

    host: Host
    owner: str
    kc: str
    memory_mib: int
    stall_seconds: float
    variables: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, host: Host, owner: str, settings: RealmSettings) -> Keycloak:
        return cls(host, owner, settings.kc, settings.export_memory_mib, settings.stall_minutes * 60)

    def export(self, realm: str, users: int = 0) -> Exported:
        """All of a realm. Where it has many `users` they come in pages, else all is seen at one moment.

        Raises:
            TransientFailure: it did not come whole, or no byte came for too long.
        """
        in_pages = moves_in_pages(realm, users)
        argv = pages_argv(self.kc, realm, _files(users)) if in_pages else export_argv(self.kc, realm)
        process = self._started(argv, f"The export of realm {realm}", stdin=False, many=in_pages)
        source = Patient(process, self.stall_seconds)
        coming = _Packing(Joined(source, PER_FILE) if in_pages else source)
        problem, found = "it was left", Realm()
        try:
            found, problem = read_realm(coming), ""
        except NoRealm as error:
            problem = str(error)
        finally:
            _ended(process, _BROKEN_SECONDS if problem else _END_SECONDS)
        if process.stalled or process.popen.returncode:
            raise _failed(process)
        if problem or found.name != realm:
            raise TransientFailure(
                f"The export of realm {realm}{self.host.note} is not whole ({problem or 'it is of another realm'}); nothing of it "
                "was stored. Look at Keycloak's log, then start again."
            )
        return Exported(found, coming.packed())

    def take_in(self, realm: str, pieces: Iterable[bytes], *, override: bool) -> None:
        """Import a realm, in one transaction. Whoever asked for it looks at what is there then.

        Raises:
            Refused: Keycloak does not take it.
            TransientFailure: the program did not end, or was ended. Only who looks knows whether it was taken.
        """
        self._fed(import_argv(self.kc, override=override), realm, pieces)

    def take_in_pages(self, realm: str, export: bytes, folder: str = MEMORY, *, switched_off: bool = False) -> None:
        """Import a realm of many users that is not there: a page in a transaction, in a time that grows as their number
        does. `folder` is in memory there. `switched_off`: nobody logs in to it. Raises as `take_in`; then half of it may be
        there."""
        pages = list(paged(io.BytesIO(export), PER_FILE, switched_off=switched_off))
        sizes = [len(page) for page in pages]
        self._fed(import_pages_argv(self.kc, realm, folder, sizes), realm, pages, many=True)

    def _fed(self, argv: tuple[str, ...], realm: str, pieces: Iterable[bytes], *, many: bool = False) -> None:
        process = self._started(argv, f"The import of realm {realm}", stdin=True, many=many)
        limit = self.stall_seconds * _SILENT
        timer = Timer(limit, process.end_stalled, (limit,))  # it may never read what it is given
        timer.start()
        try:
            with suppress(BrokenPipeError):  # it has ended: how, its exit code tells
                for piece in pieces:
                    process.stdin.write(piece)
                process.stdin.close()
            process.popen.wait()
        finally:
            timer.cancel()
            _ended(process, _END_SECONDS)
        if process.stalled or process.popen.returncode:
            raise _failed(process)

    def _started(self, argv: tuple[str, ...], what: str, *, stdin: bool, many: bool) -> Process:
        env = {**self.variables, **environment(self.owner, self.memory_mib, many=many)}
        return Process(f"{what}{self.host.note}", self.host.stream(argv, env=env, stdin=stdin))


def moves_in_pages(realm: str, users: int) -> bool:
    """Whether a realm of so many users is best moved in pages: files that have its name."""
    return users > _AT_ONCE and "/" not in realm


def _files(users: int) -> int:
    """More than so many users need: some may be added meanwhile."""
    return users * 11 // (10 * PER_FILE) + 20


def _ended(process: Process, seconds: float) -> None:
    """Wait for its end, or make one; its connections are closed."""
    with suppress(subprocess.TimeoutExpired):
        process.popen.wait(0 if process.stalled else seconds)
    if process.popen.poll() is None:
        process.popen.kill()
        process.popen.wait()
    process.whole_stderr()
    for stream in (process.popen.stdin, process.popen.stdout, process.popen.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.close()


def _failed(process: Process) -> PlatformOpsError:
    """What Keycloak says of it: of its many lines the errors."""
    if process.stalled:
        return process.stalled
    lines = process.whole_stderr().splitlines()
    message = [_without_values(line.partition(") ")[2] or line) for line in lines if "ERROR" in line]
    code = process.popen.returncode
    shown = "; ".join(message[:3])[:500] or _without_values(process.says())[-300:] or "it said nothing"
    by_itself = code == 1 and message and not any("OutOfMemory" in line for line in lines)
    kind = OperationFailed if code in (126, 127) else Refused if by_itself else TransientFailure
    return kind(f"{process.name} ended with {code}: {shown}.")


def _without_values(line: str) -> str:
    """A line of Keycloak's without what it quotes of a realm or a row: names of users, or worse."""
    return _QUOTED.sub("(not shown)", _ROW.split(" ".join(line.split()), maxsplit=1)[0]).strip()


class _Packing:
    """What is read is compressed on its way and kept."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._press = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP)
        self._packed = bytearray()

    def read(self, size: int, /) -> bytes:
        piece = self._source.read(size)
        self._packed += self._press.compress(piece)
        return piece

    def packed(self) -> bytes:
        self._packed += self._press.flush()
        return bytes(self._packed)
