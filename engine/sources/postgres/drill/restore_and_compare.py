"""A stored set, restored into a scratch server as the stock tools would, and compared with its proofs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from engine.errors import CouldNotVerify, DamagedSet
from engine.progress import Progress
from engine.repository.body import Body, FileEntry
from engine.repository.findings import Compared, Difference, Findings
from engine.repository.repository import Repository
from engine.sources.postgres.archive.service_extensions import lacking
from engine.sources.postgres.facts import ClusterFacts
from engine.sources.postgres.programs import commands
from engine.sources.postgres.proof.compare import compare_databases, compare_roles
from engine.sources.postgres.proof.extensions import lost_members, not_compared
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.proof.roles import EVERYBODY, Roles, is_built_in, read_roles
from engine.sources.postgres.proof.views import other_rows
from engine.sources.postgres.restore.replay import APPLICATION, play
from engine.sources.postgres.restore.restored_proof import reprinter, restored_proof
from engine.sources.postgres.server.activity import is_active
from engine.sources.postgres.server.server import Server

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")
_JOBS = 2
_EXTENSIONS = 10


@dataclass(frozen=True, slots=True)
class _Compared:
    """What was seen of one database."""

    row: Compared
    differences: tuple[Difference, ...]
    lacking: tuple[str, ...]
    not_compared: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One set and the scratch server it is tried in; `programs` is the folder of the client programs, `omitted` are
    extensions that only the source's service has."""

    repository: Repository
    body: Body
    facts: ClusterFacts
    proofs: dict[str, DatabaseProof]
    roles: Roles
    server: Server
    programs: Path
    progress: Progress
    omitted: set[str] = field(default_factory=set)

    def run(self, findings: Findings) -> None:
        """Restore everything, then compare everything; what is found goes into `findings`.

        Raises:
            DamagedSet: the set does not restore.
            CouldNotVerify: the scratch server lacks something the set needs.
        """
        self._check_extensions()
        self._restore_globals(findings)
        dumps = list(self.body.of_roles("sql", "dump"))
        dumps.sort(key=lambda file: -file.size)
        seconds = _in_parallel(self._restored, dumps)
        findings.restored()
        findings.differences += self._unexpected_databases()
        findings.differences += self._compared_roles(findings)
        results = _in_parallel(self._compared, list(zip(dumps, seconds, strict=True)))
        results.sort(key=lambda result: result.row.name)
        findings.compared = tuple(result.row for result in results)
        findings.differences += tuple(chain.from_iterable(result.differences for result in results))
        findings.lacking = tuple(chain.from_iterable(result.lacking for result in results))
        if skipped := tuple(chain.from_iterable(result.not_compared for result in results)):
            findings.remarks["members of extensions not compared"] = _few(skipped)
        if self.omitted:
            findings.remarks["restored without the extensions"] = _few(sorted(self.omitted))

    def _check_extensions(self) -> None:
        with self.server.connect(application=APPLICATION) as connection:
            available = {row[0] for row in connection.execute("SELECT name FROM pg_catalog.pg_available_extensions")}
        wanted = {name for extensions in self.facts.extensions.values() for name in extensions}
        self.omitted.update(lacking(wanted, available))
        if missing := sorted(wanted - available - self.omitted):
            raise CouldNotVerify(
                f"The scratch server lacks the extension{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
                "install the packages of the source's server on the host that drills."
            )

    def _restore_globals(self, findings: Findings) -> None:
        sql = self.body.file("globals")
        assert sql is not None  # noqa: S101 - its proof was read
        argv = commands.psql_argv(self.programs, "postgres")
        self._play(sql, argv, self.server.restoring_environment(APPLICATION), "psql of the roles")
        findings.differences += self._compared_roles(findings)

    def _compared_roles(self, findings: Findings) -> tuple[Difference, ...]:
        """What differs in the roles, and was not seen before: a database's file may make some, too."""
        with self.server.connect(application=APPLICATION) as connection:
            found = read_roles(connection)
        roles = sum(name != EVERYBODY and not is_built_in(name) for name in found)
        findings.remarks["roles compared"] = f"{roles:,}"
        known = set(findings.differences)
        return tuple(one for one in compare_roles(self.roles, found) if one not in known)

    def _play(self, file: FileEntry, argv: Sequence[str], environment: dict[str, str], what: str) -> None:
        alive = partial(is_active, self.server, file.of or "postgres", APPLICATION)
        through: tuple[str, ...] = ()
        if file.role == "dump" and self.omitted:
            create = file.of not in ("postgres", "template1")
            through = commands.archive_text_argv(self.programs, create=create)
            argv = commands.psql_argv(self.programs, "postgres" if create else file.of or "")
        play(
            self.repository,
            self.body,
            file,
            argv,
            environment,
            self.progress,
            what,
            alive,
            through=through,
            without=self.omitted,
        )

    def _restored(self, file: FileEntry) -> float:
        """Restore one database; seconds it took."""
        began, name = time.monotonic(), file.of or ""
        environment = self.server.restoring_environment(APPLICATION)
        argv = (*commands.psql_argv(self.programs, "postgres"), *commands.ends_in_argv(name))
        if file.role == "dump":
            create = name not in ("postgres", "template1")
            argv = commands.restore_stream_argv(self.programs, name, create=create)
            environment = self.server.restoring_environment(APPLICATION, self.proofs[name].client_encoding)
        self.progress(f"restore {name}", 0, file.size)
        self._play(file, argv, environment, f"restore of {name}")
        if name not in self._databases():
            raise DamagedSet(f"{file.name} did not make database {name!r}: it is another's; use another set.")
        return time.monotonic() - began

    def _databases(self) -> set[str]:
        with self.server.connect(application=APPLICATION) as connection:
            return {row[0] for row in connection.execute("SELECT datname FROM pg_catalog.pg_database")}

    def _unexpected_databases(self) -> tuple[Difference, ...]:
        """Databases that a file made and no proof knows."""
        unknown = sorted(self._databases() - set(self.proofs) - {"postgres", "template0", "template1"})
        return tuple(
            Difference(where=name, kind="database", name=name, expected="not there", found="there") for name in unknown
        )

    def _compared(self, restored: tuple[FileEntry, float]) -> _Compared:
        file, restore_seconds = restored
        expected, began = self.proofs[file.of or ""], time.monotonic()
        encoding = expected.client_encoding
        self.progress(f"compare {expected.database}")
        found = restored_proof(self.server, expected.database, self.programs, encoding, expected.sample_percent)
        differences = compare_databases(
            expected, found, reprinter(self.server, self.programs, found.properties, encoding), self.omitted
        )
        row = Compared(
            name=expected.database,
            differences=len(differences),
            counts={
                "table": len(found.tables),
                "row": found.rows,
                "sequence": len(found.sequences),
                "large object": len(found.large_objects),
            },
            restore_seconds=restore_seconds,
            compare_seconds=time.monotonic() - began,
        )
        return _Compared(
            row,
            differences,
            (
                *lost_members(expected.database, expected.extensions, found.extensions),
                *other_rows(expected, found),
            ),
            not_compared(expected.database, expected.extensions, found.extensions),
        )


def _few(extensions: Sequence[str]) -> str:
    left = len(extensions) - _EXTENSIONS
    return "; ".join(extensions[:_EXTENSIONS]) + (f" and {left} more" if left > 0 else "")


def _in_parallel(work: Callable[[_Given], _Made], items: Sequence[_Given]) -> list[_Made]:
    with ThreadPoolExecutor(_JOBS) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
