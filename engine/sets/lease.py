"""Leases: one at a time for what is done in a store, on whatever host it was started.

A lease is a row of small objects, `<server>/leases/<name>.<number>.json`; the one with the highest
number says who holds it, or that it was given back. To take, to renew and to give back are the same
atomic step: create the next number, which only one of several can do.

1. The last object stays, so numbers only grow. Who comes late (was stopped, or saw an old listing) and
   creates a number that was used and cleared away already sees a higher one, and has lost.
2. It is taken over at once when its holder was a process of this host that has ended, else when it was
   not renewed for its `seconds`. Its age is measured against an object written just now: by the
   store's clock alone, so that hosts' clocks may differ.
3. Objects are created, never rewritten: a bucket with object lock would keep each rewriting.
"""

from __future__ import annotations

import platform
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from engine.errors import LockedByAnother, PlatformOpsError, TransientFailure
from engine.sets.keys import SetKey, parse_set_folder
from engine.sets.lease_row import Holder, Row, names, still_there
from engine.stores.base import Store
from engine.stores.part_files import this_process

SECONDS = 180.0
"""How long a lease lives without being renewed: what a holder lost with its host can cost the next one."""

_RENEWALS = 3  # tries in the life of a lease
_ROUNDS = 20  # of several that want it in the same moment
_LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 600.0
"""How long a drill waits for a pruning, which is a matter of seconds as a rule."""


class Lease:
    """A lease that is held. `check` before each step that must not be done without it."""

    def __init__(self, row: Row, holder: Holder, number: int, since: float) -> None:
        self._row = row
        self._holder = holder
        self._number = number
        self._until = since + holder.seconds
        self._over = threading.Event()
        self._lost = False
        self._keeper = threading.Thread(target=self._keep, name=f"lease {row.name}", daemon=True)
        self._keeper.start()

    def check(self) -> None:
        """Go on only while it is held.

        Raises:
            TransientFailure: another has taken it over, or it could not be renewed in time.
        """
        if self._lost or clock() > self._until:
            raise TransientFailure(
                f"The lease of this {self._row.name} of {self._row.server} in {self._row.store.address} was lost: "
                "it could not be renewed in time (the host was stopped, or the store cannot be reached); start again."
            )

    def give_back(self) -> None:
        """End it. Where the store cannot be reached, it ends by itself in time."""
        self._over.set()
        self._keeper.join()
        try:
            if not self._lost:
                self._row.append(self._number + 1, self._holder.model_copy(update={"state": "released"}))
        except PlatformOpsError:
            return
        finally:
            self._row.mine.discard(self._holder.token)

    def _keep(self) -> None:
        pause = self._holder.seconds / _RENEWALS
        while not (self._over.wait(pause) or self._lost):
            began = clock()
            try:
                self._lost = not self._renewed()
            except PlatformOpsError:
                pause = min(self._holder.seconds / 10, 5.0)  # the store may be back in a moment
                continue
            self._until = began + self._holder.seconds
            pause = self._holder.seconds / _RENEWALS

    def _renewed(self) -> bool:
        number = self._number + 1
        # Where an answer was lost, the object of the try before is there and is ours.
        if self._row.append(number, self._holder) or self._row.is_ours(number, self._holder.token):
            self._number = number
            return True
        return False


@contextmanager
def lease(
    store: Store,
    server: str,
    name: str,
    label: str = "",
    *,
    sets: Iterable[SetKey] = (),
    seconds: float = SECONDS,
    wait_seconds: float = 0.0,
) -> Iterator[Lease]:
    """Hold the lease `name` of a server in a store; a thread renews it until the block ends.

    `label` tells others what holds it, for example a run's name. `sets` are left alone by prunings
    meanwhile. `wait_seconds`: how long to wait for another to give it back.

    Raises:
        LockedByAnother: another holds it: who, since when, until when.
        PlatformOpsError: the store cannot be read or written.
    """
    holder = Holder(
        token=secrets.token_hex(8),
        label=label[:100],
        host=platform.node()[:100],
        process=this_process(),
        since=datetime.now(UTC),
        seconds=seconds,
        sets=tuple(map(str, sets)),
    )
    held = _taken(Row(store, server, name), holder, wait_seconds)
    try:
        yield held
    finally:
        held.give_back()


@contextmanager
def drilling(store: Store, key: SetKey, label: str = "", *, wait_seconds: float = PATIENCE_SECONDS) -> Iterator[Lease]:
    """Hold the drill's lease of a server in a store; until the block ends, no pruning lets the set go.

    Raises:
        LockedByAnother: another drill of this server runs in this store, or a pruning did not end.
        PlatformOpsError: the store cannot be read or written.
    """
    with lease(store, key.server, "drill", label, sets=(key,)) as held:
        # A pruning that began before may not have seen this one; any later one does.
        _await_end(Row(store, key.server, "prune"), wait_seconds)
        yield held


def leased_sets(store: Store, server: str) -> frozenset[SetKey]:
    """The sets that live leases name.

    Raises:
        PlatformOpsError: the store cannot be read.
    """
    rows = [Row(store, server, name) for name in names(store, server)]
    holders = [holder for row in rows if (holder := row.standing()[1])]
    keys = (parse_set_folder(text) for holder in holders for text in holder.sets)
    return frozenset(key for key in keys if key)
