"""From stored keys back to what they are of. What is none of ours is None: it is passed over, never deleted."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from urllib.parse import unquote

from engine.errors import ConfigurationError
from engine.repository.keys import MANIFEST, SET_ID, Asset, SetKey, encoded, is_file_name, is_kind, is_source, moment


def parse_set_key(key: str) -> tuple[SetKey, str] | None:
    """The set a stored key belongs to and the file's name in it; None when it is none of ours."""
    folder, _, file = key.rpartition("/")
    found = parse_set_folder(folder)
    return (found, file) if found and is_file_name(file) else None


def parse_set_folder(folder: str) -> SetKey | None:
    """The set whose files are in `folder` (no final `/`); None when it is none of ours."""
    found = parse_dated_folder(folder)
    return found[0] if found else None


def parse_dated_folder(folder: str) -> tuple[SetKey, datetime] | None:
    """The same, with when the set was begun (UTC)."""
    path, _, set_id = folder.rpartition("/")
    asset = parse_asset(path)
    match = SET_ID.fullmatch(set_id) if asset else None
    at = moment(match[1]) if match else None
    return (SetKey(*asset, set_id), at) if asset and at else None


def mark_of_sets(folder: str) -> str | None:
    """The file that makes a set of `folder`, where it can be one; see `stores.base.Mark`."""
    path, _, set_id = folder.rpartition("/")
    return MANIFEST if SET_ID.fullmatch(set_id) and parse_asset(path) else None


def parse_set_meant(text: str) -> SetKey | None:
    """The key that somebody gives, as it is stored or as people are shown it (a name not spelled with `%`); None when it
    is none."""
    folder = text.strip("/")
    path, _, set_id = folder.rpartition("/")
    parts = path.split("/", 2)  # the name may hold a slash
    if (found := parse_set_folder(folder)) or len(parts) < 3 or not parts[2]:
        return found
    try:
        return parse_set_folder(f"{parts[0]}/{parts[1]}/{encoded(parts[2])}/{set_id}")
    except ConfigurationError:
        return None


def parse_set(text: str) -> SetKey:
    """A set's key as `list` prints it.

    Raises:
        ConfigurationError: this is not one.
    """
    parsed = parse_set_folder(text.strip("/"))
    if parsed is None:
        raise ConfigurationError(f"{text[:120]!r} is not the key of a set; `list` shows those that are stored.")
    return parsed


@lru_cache(maxsize=4096)  # sets come in key order, so one asset's follow each other
def parse_asset(path: str) -> Asset | None:
    """The asset whose sets' folders are in `path` (no final `/`); None when it is none of ours."""
    match path.split("/"):
        case [source, kind] if is_source(source) and is_kind(kind):
            return Asset(source, kind, "")
        case [source, kind, segment] if is_source(source) and is_kind(kind):
            name = unquote(segment)
            return Asset(source, kind, name) if name and encoded(name) == segment else None
    return None
