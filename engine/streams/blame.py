"""Which of a pipeline's failures is the cause: what broke a pipe, not what was left with a broken one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import OperationFailed
from engine.streams.process import Process


@dataclass(frozen=True, slots=True)
class Blame:
    """`processes` of a pipeline and the `errors` of its threads, as they are when one asks."""

    processes: Sequence[Process]
    errors: Sequence[BaseException]

    def broken(self) -> list[Process]:
        return [process for process in self.processes if process.popen.returncode not in (0, None)]

    def is_due(self) -> bool:
        return bool(self.errors or self.broken())

    def is_known(self) -> bool:
        """Whether nothing that ends later could say better what went wrong."""
        if self._telling_errors():
            return True
        culprits = self._culprits()
        if any(process.explains_itself() for process in culprits):
            return True
        return bool(culprits) and not any(
            process.explains and process.popen.poll() is None for process in self.processes
        )

    def raise_first(self) -> None:
        """Raise the cause, if anything failed."""
        if telling := self._telling_errors():
            raise telling[0]
        if broken := self._culprits() or self.broken():
            raise next((process for process in broken if process.explains_itself()), broken[0]).failure()
        if self.errors:
            raise OperationFailed("A stage of the stream closed too early.") from self.errors[0]

    def _culprits(self) -> list[Process]:
        """Those that did not merely end because their reader was gone."""
        return [process for process in self.broken() if not process.is_victim()]

    def _telling_errors(self) -> list[BaseException]:
        return [error for error in self.errors if not isinstance(error, (BrokenPipeError, ValueError))]
