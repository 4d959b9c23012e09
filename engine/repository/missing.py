"""What a store says of a key, said of a set: the one place where a missing file becomes damage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import DamagedSet, NotFound


@contextmanager
def missing_is_damage() -> Iterator[None]:
    """Around the reading of a set's own files: one that is not there is held against the set.

    Raises:
        DamagedSet: the store has no such key.
    """
    try:
        yield
    except NotFound as error:
        raise DamagedSet(f"{str(error).removesuffix('.')}; `list` shows what is stored.") from None
