"""What lies directly in a folder: the one look of which a walk is made.

Imported by the walk, and run by it as a second process (`folder_aide`): so nothing but the standard library is
imported here, which keeps that process's start at a hundredth of a second.
"""

from __future__ import annotations

import json
import os
import stat
import sys

Look = tuple[list[str], list[str]] | None
"""The names of the files and of the folders there; None: the mark is there, and nothing else was looked at."""


def look(path: str, mark: str | None) -> Look:
    """What is directly in `path`, which ends in `/`. Links and special files are left out, other names are
    as they are on disk. Raises OSError; FileNotFoundError when there is no such folder."""
    if mark and _is_file(path + mark):
        return None
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                files.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
    return files, folders


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _tried(path: str, mark: str | None) -> Look | bool:
    """A look; False when it failed: whoever asked looks again and sees why."""
    try:
        return look(path, mark)
    except OSError:
        return False


def answer_all() -> None:
    """Each line of stdin asks for several folders and gets one line: JSON, so that any name fits."""
    for line in sys.stdin.buffer:
        paths, mark = json.loads(line)
        answers = [_tried(path, mark) for path in paths]
        sys.stdout.buffer.write(json.dumps(answers).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    answer_all()
