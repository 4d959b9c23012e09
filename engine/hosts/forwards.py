"""The forwarded ports of one host: one for each endpoint, until the host is let go of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.hosts.endpoints import Endpoint, Tcp, Tunnel
from engine.hosts.forward import Duplex, Forward


@dataclass
class Forwards:
    """`open_far` connects to an endpoint at the far side."""

    open_far: Callable[[Endpoint], Duplex]
    _made: dict[Endpoint, Forward] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def to(self, endpoint: Endpoint) -> Tunnel:
        with self._lock:
            if endpoint not in self._made:
                self._made[endpoint] = Forward(lambda: self.open_far(endpoint))
            forward = self._made[endpoint]
        return Tunnel(Tcp(*forward.address), forwarded=True, problem=lambda: forward.problem)

    def close(self) -> None:
        with self._lock:
            for forward in self._made.values():
                forward.close()
            self._made.clear()
