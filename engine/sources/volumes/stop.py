"""Containers that are stopped for a while, and start again whatever happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.errors import OperationFailed
from engine.hosts.ending import children_spared
from engine.sources.volumes.inventory import Mounting
from engine.sources.volumes.keeper import Keeper


@dataclass
class Stop:
    """Containers that are stopped, until `over`: once, whoever asks first."""

    keeper: Keeper
    containers: Sequence[Mounting]
    seconds: float = 0.0
    began: float = 0.0
    _once: threading.Lock = field(default_factory=threading.Lock)
    _ids: tuple[str, ...] = ()

    def __enter__(self) -> Stop:
        if once := [each.name for each in self.containers if each.removed_when_stopped]:
            raise OperationFailed(
                f"{', '.join(once)} was started with --rm: to stop it would be to remove it; start it without, or stop it "
                "yourself."
            )
        if self.containers:
            self.began, self._ids = time.monotonic(), tuple(each.id for each in self.containers)
            try:
                self.keeper.stop(self._ids)
            except BaseException:
                self.over()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self.over()

    def over(self) -> None:
        """Start them again.

        Raises:
            PlatformOpsError: they do not start; the keeper goes on trying.
        """
        with self._once:
            if self._ids:
                with children_spared():
                    self.keeper.start(self._ids)
                self._ids = ()
                self.seconds = time.monotonic() - self.began
