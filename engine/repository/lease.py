"""Leases: one at a time for what is done in a store, on whatever host it was started.

A lease is a row of small objects, `<source>/leases/<name>.<number>.json`; the one with the highest
number says who holds it, or that it was given back. To take, to renew and to give back are the same
atomic step: create the next number, which only one of several can do.

1. The last object stays, so numbers only grow. Who comes late (was stopped, or saw an old listing) and
   creates a number that was used and cleared away already sees a higher one, and has lost.
2. It is taken over at once when its holder was a process of this host that has ended, else when it was
   not renewed for its `seconds`. Its age is measured against an object written just now: by the
   store's clock alone, so that hosts' clocks may differ. On the holder's own host it is measured by the
   time since that started, which no step of a clock changes.
3. Objects are created, never rewritten: a bucket with object lock would keep each rewriting.
"""

from __future__ import annotations

import platform
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from engine.errors import LockedByAnother, PlatformOpsError, TransientFailure
from engine.hosts.identity import this_process
from engine.repository.keys import SetKey
from engine.repository.lease_row import HELD, Holder, LeaseState, Row, clock, names
from engine.repository.parsing import parse_set_folder
from engine.stores.base import Store

SECONDS = 180.0
"""How long a lease lives without being renewed: what a holder lost with its host can cost the next one."""

PATIENCE_SECONDS = 600.0
"""How long a drill waits for a pruning, which is a matter of seconds as a rule."""

_RENEWALS = 3  # in the life of a lease
_ROUNDS = 20  # of several that want it in the same moment
_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.1, 5.0
_GIVE_BACK_SECONDS = 10.0


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
                f"The lease of this {self._row.name} of {self._row.source} in {self._row.store.address} was lost: "
                "it could not be renewed in time (the host was stopped, or the store cannot be reached); start again."
            )

    def give_back(self) -> None:
        """End it. Where the store cannot be reached, it ends by itself in time."""
        self._over.set()
        self._keeper.join(_GIVE_BACK_SECONDS)
        try:
            if not self._lost:
                self._advance(self._holder.model_copy(update={"state": "released"}))
        except PlatformOpsError:
            return
        finally:
            HELD.discard(self._holder.token)

    def _keep(self) -> None:
        pause = self._holder.seconds / _RENEWALS
        while not (self._over.wait(pause) or self._lost):
            began = clock()
            try:
                self._lost = not self._advance(self._holder)
            except PlatformOpsError:
                pause = min(self._holder.seconds / 10, 5.0)  # the store may be back in a moment
                continue
            self._until = began + self._holder.seconds
            pause = self._holder.seconds / _RENEWALS

    def _advance(self, holder: Holder) -> bool:
        """Create the next object; False when another did."""
        while not self._row.append(self._number + 1, holder):
            # Where the answer to the try before was lost, the object is there, and is ours.
            if not self._row.is_ours(self._number + 1, holder.token):
                return False
            self._number += 1
        self._number += 1
        return True


@contextmanager
def lease(
    store: Store,
    source: str,
    name: str,
    label: str = "",
    *,
    sets: Iterable[SetKey] = (),
    seconds: float = SECONDS,
    wait_seconds: float = 0.0,
) -> Iterator[Lease]:
    """Hold the lease `name` of a source in a store; a thread renews it until the block ends.

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
    held = _taken(Row(store, source, name), holder, wait_seconds)
    try:
        yield held
    finally:
        held.give_back()


@contextmanager
def drilling(store: Store, key: SetKey, label: str = "", *, wait_seconds: float = PATIENCE_SECONDS) -> Iterator[Lease]:
    """Hold the drill's lease of a source in a store; until the block ends, no pruning lets the set go.

    Raises:
        LockedByAnother: another drill of this source runs in this store, or a pruning did not end.
        PlatformOpsError: the store cannot be read or written.
    """
    with lease(store, key.source, "drill", label, sets=(key,)) as held:
        # A pruning that began before may not have seen this one; any later one does.
        await_free(Row(store, key.source, "prune"), wait_seconds)
        yield held


def leased_sets(store: Store, source: str) -> frozenset[SetKey]:
    """The sets that live leases name.

    Raises:
        PlatformOpsError: the store cannot be read.
    """
    holders = (Row(store, source, name).state().holder for name in names(store, source))
    keys = (parse_set_folder(text) for holder in holders if holder for text in holder.sets)
    return frozenset(key for key in keys if key)


def _taken(row: Row, holder: Holder, wait_seconds: float) -> Lease:
    deadline = clock() + wait_seconds
    HELD.add(holder.token)
    try:
        for _ in range(_ROUNDS):
            state = await_free(row, deadline - clock())
            since = clock()
            if row.append(state.number + 1, holder):
                return Lease(row, holder, state.number + 1, since)
    except BaseException:
        HELD.discard(holder.token)
        raise
    HELD.discard(holder.token)
    raise LockedByAnother(
        f"Several want to {row.name} {row.source} in {row.store.address} at once; start again in a moment."
    )


def await_free(row: Row, wait_seconds: float) -> LeaseState:
    """How the lease stands once nobody holds it."""
    deadline, pause = clock() + wait_seconds, _FIRST_LOOK_SECONDS
    while (state := row.state()).holder:
        if clock() >= deadline:
            raise LockedByAnother(_held_by(row, state.holder, state.age))
        time.sleep(pause)
        pause = min(_LONGEST_LOOK_SECONDS, 1.5 * pause)
    return state


def _held_by(row: Row, holder: Holder, age: float) -> str:
    ends = datetime.now(UTC) + timedelta(seconds=holder.seconds - age)
    who = " ".join(part for part in (repr(holder.label) if holder.label else "one", f"on {holder.host}") if part)
    return (
        f"Another {row.name} of {row.source} in {row.store.address} is running: {who}, process {holder.pid}, "
        f"since {holder.since:%Y-%m-%d %H:%M:%S %Z}, its lease good until {ends:%H:%M:%S} UTC and renewed while it "
        "lives; wait for it or end it, then start again."
    )
