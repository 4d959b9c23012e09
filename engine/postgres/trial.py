"""A stored set, restored into a scratch server as the stock tools would, and compared with its proofs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from engine.errors import CouldNotVerify, DamagedSet
from engine.postgres import commands
from engine.postgres.at_work import at_work
from engine.postgres.compare import Difference, compare_databases, compare_roles
from engine.postgres.course import Course, DatabaseRow
from engine.postgres.members import lost_members, not_compared
from engine.postgres.proof import DatabaseProof
from engine.postgres.replay import APPLICATION, play, read_role_proofs, reprinter, restored_proof
from engine.postgres.roles import EVERYBODY, is_built_in, read_roles
from engine.postgres.server import Server
from engine.progress import Progress
from engine.sets.manifest import Body, FileEntry
from engine.sets.target import Target

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")
_JOBS = 2


@dataclass(frozen=True, slots=True)
class _Compared:
    """What was seen of one database."""

    row: DatabaseRow
    differences: tuple[Difference, ...]
    lost_members: tuple[str, ...]
    not_compared: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One set and the scratch server it is tried in; `programs` is the folder of the client programs."""

    target: Target
    body: Body
    proofs: dict[str, DatabaseProof]
    server: Server
    programs: Path
    progress: Progress

    def run(self, course: Course) -> None:
        """Restore everything, then compare everything; what is found goes into `course`.

        Raises:
            DamagedSet: the set does not restore.
            CouldNotVerify: the scratch server lacks something the set needs.
        """
        self._check_extensions()
        self._restore_globals(course)
        dumps = [file for file in self.body.files if file.kind in ("sql", "dump")]
        dumps.sort(key=lambda file: -file.size)
        seconds = _in_parallel(self._restored, dumps)
        course.rto_seconds = time.monotonic() - course.began
        course.differences += self._unexpected_databases()
        results = _in_parallel(self._compared, list(zip(dumps, seconds, strict=True)))
        results.sort(key=lambda result: result.row.database)
        course.rows = tuple(result.row for result in results)
        course.differences += tuple(chain.from_iterable(result.differences for result in results))
        course.lost_members = tuple(chain.from_iterable(result.lost_members for result in results))
        course.not_compared = tuple(chain.from_iterable(result.not_compared for result in results))

    def _check_extensions(self) -> None:
        with self.server.connect(application=APPLICATION) as connection:
            available = {
                row[0] for row in connection.execute("SELECT name FROM pg_catalog.pg_available_extensions")
            }
        wanted = {name for extensions in self.body.extensions.values() for name in extensions}
        if lacking := sorted(wanted - available):
            raise CouldNotVerify(
                f"The scratch server lacks the extension{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; "
                "install the packages of the source's server on the host that drills."
            )

    def _restore_globals(self, course: Course) -> None:
        files = self.body.files
        sql = next((file for file in files if file.kind == "globals"), None)
        proof = next((file for file in files if file.kind == "proof" and file.database is None), None)
        if sql is None or proof is None:
            raise DamagedSet(f"{course.key} lacks its roles or their proof; use another set.")
        expected = read_role_proofs(self.target, course.key, proof, self.body.encrypted)
        argv = commands.psql_argv(self.programs, "postgres")
        self._play(sql, argv, self.server.tool_environment(APPLICATION), "psql of the roles")
        with self.server.connect(application=APPLICATION) as connection:
            found = read_roles(connection)
        course.roles = sum(name != EVERYBODY and not is_built_in(name) for name in found)
        course.differences += compare_roles(expected, found)

    def _play(self, file: FileEntry, argv: Sequence[str], environment: dict[str, str], what: str) -> None:
        alive = partial(at_work, self.server, file.database or "postgres", APPLICATION)
        play(self.target, self.body, file, argv, environment, self.progress, what, alive)

    def _restored(self, file: FileEntry) -> float:
        """Restore one database; seconds it took."""
        began, name = time.monotonic(), file.database or ""
        environment = self.server.tool_environment(APPLICATION)
        argv = (*commands.psql_argv(self.programs, "postgres"), *commands.ends_in_argv(name))
        if file.kind == "dump":
            create = name not in ("postgres", "template1")
            argv = commands.restore_stream_argv(self.programs, name, create=create)
            environment = self.server.fixed_environment(APPLICATION)
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
            Difference(database=name, kind="database", name=name, expected="not there", found="there")
            for name in unknown
        )

    def _compared(self, restored: tuple[FileEntry, float]) -> _Compared:
        file, restore_seconds = restored
        expected, began = self.proofs[file.database or ""], time.monotonic()
        self.progress(f"compare {expected.database}")
        found = restored_proof(self.server, expected.database, self.programs, expected.sample_percent)
        differences = compare_databases(
            expected, found, reprinter(self.server, self.programs, found.properties)
        )
        row = DatabaseRow(
            database=expected.database,
            tables=len(found.tables),
            rows=found.rows,
            sequences=len(found.sequences),
            large_objects=len(found.large_objects),
            differences=len(differences),
            restore_seconds=restore_seconds,
            compare_seconds=time.monotonic() - began,
        )
        return _Compared(
            row,
            differences,
            lost_members(expected.database, expected.extensions, found.extensions),
            not_compared(expected.database, expected.extensions, found.extensions),
        )


def _in_parallel(work: Callable[[_Given], _Made], items: Sequence[_Given]) -> list[_Made]:
    with ThreadPoolExecutor(_JOBS) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
