"""How large the parts of an upload are, and how many bytes of them are on their way at once."""

from __future__ import annotations

import threading

from engine.stores.settings import S3Settings

MIB = 2**20


def first_part_size(expected_bytes: int | None, smallest: int, max_parts: int) -> int:
    """Bytes of a part, whole MiB, so that what is expected (and a tenth more) fits in `max_parts`."""
    needed = (expected_bytes or 0) * 11 // 10 // max_parts + 1
    return max(smallest, -(-needed // MIB) * MIB)


def next_part_size(size: int, written: int, max_parts: int) -> int:
    """Bytes of the next part after `written` bytes in parts of `size`.

    Where more comes than was expected, parts grow with what is written, so that the number of parts
    does not end before the data: ten times what `max_parts` of the first size would hold fits.
    """
    return max(size, -(-written * 5 // max_parts // MIB) * MIB)


def most_in_flight(settings: S3Settings) -> int:
    """Bytes that may be on their way at once, of all files: as many as the settings' parts have.

    Parts that had to become larger go one at a time.
    """
    return settings.part_size_mib * MIB * settings.parts_in_flight


class _Flight:
    """The bytes that all uploads of this process have on their way together."""

    def __init__(self) -> None:
        self._bytes = 0
        self._changed = threading.Condition()

    def begin(self, count: int, most: int) -> None:
        """Wait until they fit into `most`; one part alone always does."""
        with self._changed:
            self._changed.wait_for(lambda: not self._bytes or self._bytes + count <= most)
            self._bytes += count

    def end(self, count: int) -> None:
        with self._changed:
            self._bytes -= count
            self._changed.notify_all()


FLIGHT = _Flight()
