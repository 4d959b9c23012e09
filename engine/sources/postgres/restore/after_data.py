"""The statements after an archive's data: which of them several sessions may run at once.

pg_restore --jobs knows of each statement which table it is about, not what else it locks: the parents and leaves of a
partitioned table, both tables of a foreign key. Two such statements may wait for each other until PostgreSQL ends one.
Nor does it know what a function reads that a materialized view calls. An index or a key locks its own table alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from engine.errors import OperationFailed
from engine.sources.postgres.archive.archive import Head
from engine.sources.postgres.programs import commands
from engine.sources.postgres.server.environment import run_here
from engine.streams.stderr import summary

_TOOL_SECONDS = 600
_ENTRY = re.compile(rb"^(?P<dump_id>\d+); (?P<what>\d+ \d+ .*)$")
_INDEX = re.compile(rb"1259 \d+ INDEX |2606 \d+ CONSTRAINT ")
"""What is in a catalogue: INDEX ATTACH is in none, so a schema ATTACH is not taken for it; a foreign key is FK CONSTRAINT."""
_NEEDS = b";\tdepends on:"


@dataclass(frozen=True, slots=True)
class AfterData:
    """Lines of the table of contents, in its order: `indexes` are indexes and keys that need none of `others`."""

    indexes: tuple[bytes, ...]
    others: tuple[bytes, ...]


def after_data(head: Head, built: Collection[int]) -> AfterData:
    """What is to be done after the data but the entries with the dump ids `built`, which are there.

    Raises:
        OperationFailed: pg_restore cannot read the archive's head (a TransientFailure: not in time).
    """
    needs = dict(_needs(_listed(head, verbose=True)))
    indexes, others = [], []
    late: set[int] = set()
    for dump_id, what, line in _entries(_listed(head)):
        if dump_id in built:
            continue
        if _INDEX.match(what) and late.isdisjoint(needs.get(dump_id, ())):
            indexes.append(line)
        else:
            others.append(line)
            late.add(dump_id)
    return AfterData(tuple(indexes), tuple(others))


def _entries(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    """Dump id, what it is, the whole line."""
    for line in lines:
        if found := _ENTRY.match(line):
            yield int(found["dump_id"]), found["what"], line


def _needs(lines: Iterable[bytes]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Dump ids, and those of what each depends on."""
    last = 0
    for line in lines:
        if found := _ENTRY.match(line):
            last = int(found["dump_id"])
        elif line.startswith(_NEEDS):
            yield last, tuple(map(int, line.removeprefix(_NEEDS).split()))


def _listed(head: Head, *, verbose: bool = False) -> list[bytes]:
    """What pg_restore itself takes to be after the data; when `verbose`, all there is, with what each depends on."""
    argv = commands.section_list_argv(head.programs, head.path, "post-data", verbose=verbose)
    done = run_here(argv, timeout=_TOOL_SECONDS)
    if done.code:
        raise OperationFailed(f"pg_restore cannot read the dump's contents: {summary(done.stderr)}")
    return done.stdout.splitlines()
