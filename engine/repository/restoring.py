"""Hold sets while they are restored, so that no pruning, on whatever host, lets them go meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from engine.errors import LockedByAnother, PlatformOpsError, TransientFailure
from engine.repository.keys import SetKey
from engine.repository.lease import PATIENCE_SECONDS, await_free, lease
from engine.repository.lease_row import Row
from engine.stores.base import Store

LEASES = ("restore", *(f"restore{letter}" for letter in "bcdefgh"))
"""On the worst day several hosts restore sets of one source at once: each takes the first that is free."""


@contextmanager
def restoring(
    store: Store, sets: Sequence[SetKey], label: str = "", *, wait_seconds: float = PATIENCE_SECONDS
) -> Iterator[PlatformOpsError | None]:
    """Until the block ends, no pruning lets the sets, which are one source's, go.

    A restore has to work with keys that only read: what kept the lease from being written is yielded.

    Raises:
        LockedByAnother: as many restores as there are leases run, or a pruning did not end.
        TransientFailure: the store cannot be reached.
    """
    problem: PlatformOpsError | None = None
    with ExitStack() as stack:
        try:
            _take_one(stack, store, sets, label)
            # A pruning that began before may not have seen this one; any later one does.
            await_free(Row(store, sets[0].source, "prune"), wait_seconds)
        except (LockedByAnother, TransientFailure):
            raise
        except PlatformOpsError as error:
            problem = error
        yield problem


def _take_one(stack: ExitStack, store: Store, sets: Sequence[SetKey], label: str) -> None:
    for name in LEASES:
        try:
            stack.enter_context(lease(store, sets[0].source, name, label, sets=sets))
        except LockedByAnother:
            if name == LEASES[-1]:
                raise
        else:
            return
