"""What a change of a platform is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.progress import Progress


@dataclass(frozen=True, slots=True)
class Part:
    """A step of a change: what it does, and what takes it back. Either may have been done in part, or already."""

    name: str
    title: str
    do: Callable[[Progress], None]
    undo: Callable[[Progress], None] | None = None
