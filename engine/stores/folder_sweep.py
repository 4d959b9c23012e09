"""Taking away what killed writers left in a folder: part files, and folders that stayed empty."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engine.stores.base import SEGMENT
from engine.stores.folder_tree import FILE_SYSTEMS_OWN, opened_folder, remove_empty_folders
from engine.stores.part_files import is_abandoned, is_part


def sweep_parts(root: Path, prefix: str) -> int:
    """Remove abandoned part files and empty folders under `prefix`; how many part files."""
    removed = 0
    stack = [prefix]
    while stack:
        folder = stack.pop()
        below, parts, others = _look(root, folder)
        stack += below
        segments = folder.split("/")[:-1]
        removed += _remove_abandoned(root, segments, parts)
        # One level below the root an empty folder may be somebody's; deeper ones are ours.
        if not below and not others and (parts or len(segments) > 1):
            remove_empty_folders(root, segments)
    return removed


def _look(root: Path, prefix: str) -> tuple[list[str], list[str], int]:
    """The prefixes directly below, the names of the part files, and how much else there is."""
    below: list[str] = []
    parts: list[str] = []
    others = 0
    with suppress(FileNotFoundError), os.scandir(f"{root}/{prefix}") as entries:
        for entry in entries:
            name = entry.name
            if is_part(name):
                parts.append(name)
            elif SEGMENT.fullmatch(name) and entry.is_dir(follow_symlinks=False) and name != FILE_SYSTEMS_OWN:
                below.append(f"{prefix}{name}/")
            else:
                others += 1
    return below, parts, others


def _remove_abandoned(root: Path, segments: Sequence[str], parts: Sequence[str]) -> int:
    removed = 0
    for part in parts:
        with suppress(FileNotFoundError), opened_folder(root, segments) as folder:
            if is_abandoned(part, os.stat(part, dir_fd=folder, follow_symlinks=False).st_mtime):
                os.unlink(part, dir_fd=folder)
                removed += 1
    return removed
