"""What runs beside a volume, with the Python of the engine's host (3.7 or newer, nothing but its library).

The text of this file is given to `python3 -c`; nothing here imports anything of ours. The first argument says what to do.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import sqlite3
import stat
import sys
import time
import urllib.parse
from typing import Iterator  # noqa: UP035 - Python 3.7

VOLUME, FOLDERS, MARK = b"/volume", "/volumes", ".platform-ops-filled"
_MAGIC = b"SQLite format 3\0"
_BUSY = ("locked", "busy")


def main(what: str, *arguments: str) -> None:
    if what == "find":
        report([[os.fsdecode(name), held] for name, held in databases()])
    elif what == "check":
        report({os.fsdecode(name): checked(os.fsdecode(name)) for name, _ in list(databases())})
    elif what == "hold":
        hold(float(arguments[0]), float(arguments[1]))
    elif what == "mark":
        mark(arguments[0])
    elif what == "exchange":
        exchange(arguments[0], arguments[1])
    elif what == "unchanged":
        report([name for name in arguments if is_unchanged(name)])
    elif what == "empty":
        report([name for name in arguments if is_empty(name)])
    elif what == "unmark":
        for name in arguments:
            if os.path.exists(beside(name, MARK)):
                os.unlink(beside(name, MARK))


def report(found: object) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def databases() -> Iterator[tuple[bytes, bool]]:
    """SQLite's databases by path, and whether one can be held: in WAL mode (file format 2), and of one name."""
    for folder, _, names in os.walk(VOLUME):
        for name in names:
            path = os.path.join(folder, name)
            try:
                shown = os.lstat(path)
                if shown.st_size < 512 or shown.st_size % 512 or not stat.S_ISREG(shown.st_mode):
                    continue
                with open(path, "rb", buffering=0) as file:
                    head = file.read(20)
            except OSError:
                continue
            if head.startswith(_MAGIC):
                yield os.path.relpath(path, VOLUME), head[18] == 2 and shown.st_nlink == 1


def opened(name: str) -> sqlite3.Connection:
    path = urllib.parse.quote(os.path.join(VOLUME, os.fsencode(name)))
    return sqlite3.connect("file:" + path + "?mode=rw", uri=True, isolation_level=None, timeout=1.0)


def checked(name: str) -> str:
    """What SQLite says of a database when it has read all of it: `ok`."""
    try:
        return "; ".join(str(row[0]) for row in opened(name).execute("PRAGMA integrity_check(5)"))
    except sqlite3.Error as error:
        return str(error)


def hold(lease: float, patience: float) -> None:
    """Hold the databases that stdin's first line names until it says `end`; heartbeats are empty lines."""
    kept: list[sqlite3.Connection] = []
    files: dict[str, int] = {}
    until = time.monotonic() + patience
    names = b"\n"
    while names == b"\n":
        names = line_of_input(lease)
    for name in json.loads(names):
        try:
            kept.append(held(name, until))
            files[name] = inode(name)
        except sqlite3.Error as error:
            report([name, str(error)])
            return
    report("held")
    while line_of_input(lease) != b"end\n":
        pass
    other = [name for name in files if inode(name) != files[name]]
    report([other[0], "another file took its place"] if other else "whole")


def inode(name: str) -> int:
    try:
        return os.stat(os.path.join(VOLUME, os.fsencode(name))).st_ino
    except FileNotFoundError:
        return 0


def held(name: str, until: float) -> sqlite3.Connection:
    """A reader that began when everything was in the file and nothing in the log.

    Most of the log is moved without a lock that writers need. TRUNCATE takes theirs and then waits for readers: not long,
    and not at once again, or a service whose own patience is short would fail."""
    log = os.path.join(VOLUME, os.fsencode(name) + b"-wal")
    one = opened(name)
    while True:
        try:
            one.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            one.execute("PRAGMA busy_timeout=50")
            one.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            one.execute("PRAGMA busy_timeout=1000")
            one.execute("BEGIN")
            one.execute("SELECT count(*) FROM sqlite_master").fetchall()
            if not os.path.exists(log) or os.path.getsize(log) == 0:
                return one
            one.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if one.in_transaction:
                one.execute("ROLLBACK")
            if not any(word in str(error) for word in _BUSY):
                raise
        if time.monotonic() > until:
            raise sqlite3.OperationalError("somebody reads or writes it all the time, or has it for himself alone")
        time.sleep(0.2)


def line_of_input(lease: float) -> bytes:
    """One line; who does not hear from us for so long, or sees the end, ends."""
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([0], [], [], lease)[0]:
            sys.exit(3)
        piece = os.read(0, 1)
        if not piece:
            sys.exit(3)
        line += piece
    return line


def beside(name: str, what: str) -> str:
    return os.path.join(FOLDERS, name, what)


def mark(name: str) -> None:
    """Note which folder it is that is being filled: after an exchange it is another one."""
    with open(beside(name, MARK), "w") as file:
        file.write(str(os.stat(beside(name, "_data")).st_ino))


def is_unchanged(name: str) -> bool:
    try:
        with open(beside(name, MARK)) as file:
            return file.read() == str(os.stat(beside(name, "_data")).st_ino)
    except OSError:
        return is_empty(name)  # who made it was killed before it was marked; there is nothing to lose in any case


def is_empty(name: str) -> bool:
    try:
        return os.listdir(beside(name, "_data")) == []
    except OSError:
        return False


def exchange(one: str, other: str) -> None:
    """renameat2(2) with RENAME_EXCHANGE: it has happened or not."""
    library = ctypes.CDLL(None, use_errno=True)
    paths = [os.fsencode(beside(name, "_data")) for name in (one, other)]
    if library.renameat2(-100, paths[0], -100, paths[1], 2) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    for name in (one, other):
        folder = os.open(os.path.join(FOLDERS, name), os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
