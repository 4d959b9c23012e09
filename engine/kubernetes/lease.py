"""One change at a time: a Lease object with its owner, renewed by heartbeats (coordination.k8s.io/v1).

A holder that is killed on this host is known at once; one elsewhere when its heartbeats have stopped for
`LEASE_SECONDS` as we saw it: no two clocks are compared. A holder whose last heartbeat is older than half of that
takes no step before it has renewed the lease: one that was stopped, or whose requests hung, finds that it lost it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engine.errors import LockedByAnother, OperationFailed, PlatformOpsError
from engine.hosts.identity import has_ended, this_process
from engine.kubernetes.connection import Connection
from engine.kubernetes.errors import Conflict
from engine.kubernetes.objects import LEASES, Object

HEARTBEAT_SECONDS, LEASE_SECONDS = 4.0, 15.0
_OWNER, _PROCESS = "platform-ops/owner", "platform-ops/process"


class LeaseLost(OperationFailed):
    """Another run may be at the application by now: nothing more is to be touched, and nothing taken back."""


@dataclass
class Held:
    """The lease. `require` is asked before each step that changes something."""

    connection: Connection
    name: str
    token: str
    lost: threading.Event = field(default_factory=threading.Event)
    renewed: float = field(default_factory=time.monotonic)
    """When the last request began that renewed it."""
    _one: threading.Lock = field(default_factory=threading.Lock)

    def require(self) -> None:
        """It is ours, and nobody takes it within the next seconds.

        Raises:
            LeaseLost: it is held no more.
            Away: that cannot be told now.
        """
        if time.monotonic() - self.renewed > LEASE_SECONDS / 2:
            self.renew()
        if self.lost.is_set():
            raise LeaseLost(f"The lock on {self.name} was lost; the next run puts right what this one began.")

    def renew(self) -> None:
        """One heartbeat; where another has it by now it is lost for good."""
        with self._one:
            while not self.lost.is_set():
                began = time.monotonic()
                found = self.connection.find(LEASES, self.name)
                if found is None or found["spec"].get("holderIdentity") != self.token:
                    self.lost.set()
                    return
                found["spec"]["renewTime"] = _now()
                with suppress(Conflict):  # whoever was faster is seen at once
                    self.connection.replace(LEASES, found)
                    self.renewed = began
                    return


@contextmanager
def held(connection: Connection, name: str, owner: str) -> Iterator[Held]:
    """Hold the lock of an application; `owner` is what others are told.

    Raises:
        LockedByAnother: somebody else is at it: who, and since when.
    """
    lease = Held(connection, f"platform-ops-{name}", f"{this_process()}/{time.monotonic_ns()}")
    _take(lease, owner)
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(lease, done), name="lease", daemon=True)
    beat.start()
    try:
        yield lease
    finally:
        done.set()
        beat.join()
        _give_back(lease)


def _take(lease: Held, owner: str) -> None:
    deadline, seen = 0.0, ""
    while True:
        found = lease.connection.find(LEASES, lease.name)
        lease.renewed = time.monotonic()
        if found is None:
            with suppress(Conflict):  # somebody was faster
                lease.connection.create(LEASES, _lease(lease, owner))
                return
        elif _is_free(found) or (seen == _beaten(found) and time.monotonic() > deadline):
            with suppress(Conflict):
                lease.connection.replace(LEASES, _lease(lease, owner, found))
                return
        elif seen and _beaten(found) != seen:
            raise LockedByAnother(_held_by(lease, found))
        elif not seen:
            seen, deadline = _beaten(found), time.monotonic() + LEASE_SECONDS
        time.sleep(0.5)


def _beaten(found: Object) -> str:
    return f"{found['spec'].get('holderIdentity')} {found['spec'].get('renewTime')}"


def _is_free(found: Object) -> bool:
    annotations = found["metadata"].get("annotations") or {}
    return not found["spec"].get("holderIdentity") or has_ended(annotations.get(_PROCESS, ""))


def _held_by(lease: Held, found: Object) -> str:
    who = (found["metadata"].get("annotations") or {}).get(_OWNER, "another run")
    since = str(found["spec"].get("acquireTime", ""))[:19].replace("T", " ")
    where = f"{lease.connection.namespace} of {lease.connection.name}"
    return f"{lease.name.removeprefix('platform-ops-')} in {where} is locked by {who} since {since} UTC; wait, or look at that run."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _lease(lease: Held, owner: str, before: Object | None = None) -> Object:
    metadata: Object = {"name": lease.name, "namespace": lease.connection.namespace}
    if before is not None:
        metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
    metadata["annotations"] = {_OWNER: owner[:200], _PROCESS: this_process()}
    spec = {
        "holderIdentity": lease.token,
        "leaseDurationSeconds": int(LEASE_SECONDS),
        "acquireTime": _now(),
        "renewTime": _now(),
    }
    return {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}


def _beat(lease: Held, done: threading.Event) -> None:
    """Renew it until the end. A heartbeat that fails, whatever by, leaves it older: `require` sees that."""
    while not done.wait(HEARTBEAT_SECONDS) and not lease.lost.is_set():
        with suppress(Exception):
            lease.renew()


def _give_back(lease: Held) -> None:
    with suppress(PlatformOpsError):  # it ends by itself
        found = lease.connection.get(LEASES, lease.name)
        if found["spec"].get("holderIdentity") == lease.token:
            found["spec"]["holderIdentity"] = ""
            lease.connection.replace(LEASES, found)
