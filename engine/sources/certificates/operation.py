"""A renewal from its lock to its set: renew what is due, then store what changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.errors import OperationFailed, PlatformOpsError
from engine.progress import Progress
from engine.sources.certificates.pair import is_certificate
from engine.sources.certificates.renewal import Renewed
from engine.sources.certificates.source import CertificateSource
from engine.steps import Step, Steps


@dataclass
class RenewalRun:
    """One run; `force` renews what is not due too. `renewed` is what it has come to."""

    source: CertificateSource
    label: str
    force: bool = False
    renewed: Renewed | None = None

    def carry_out(self, steps: Steps, back_up: Callable[[], None]) -> None:
        """`back_up` stores what nginx shows now, where no set holds it yet.

        Raises:
            LockedByAnother: a deploy, or another run, is at the platform.
            PlatformOpsError: the platform cannot be looked at.
        """
        self.renewed = steps.run(Step(f"renew the certificate of {self.source.settings.platform}", self._renew, 1, 30))
        back_up()

    def problem(self) -> PlatformOpsError | None:
        """Why the run is to be seen: a renewal that failed, and not much time is left."""
        made = self.renewed
        if made is None or made.problem is None or not made.urgent:
            return None
        left = f"{max(made.days_left, 0):.0f} days" if made.pair and is_certificate(made.pair) else "nothing"
        return OperationFailed(f"The certificate of {self.source.settings.platform} has {left} left. {made.sentence}")

    @property
    def sentence(self) -> str:
        """What an operator reads."""
        return self.renewed.sentence if self.renewed else ""

    def as_data(self) -> dict[str, Any]:
        """The same for `--json`."""
        made = self.renewed
        pair = made.pair if made else None
        return {
            "source": self.source.name,
            "platform": self.source.settings.platform,
            "renewed": bool(made and made.why and not made.problem),
            "due": (made.why if made else "") or None,
            "failed": str(made.problem) if made and made.problem else None,
            "names": list(pair.names) if pair and is_certificate(pair) else [],
            "ends": pair.ends.isoformat() if pair and is_certificate(pair) else None,
        }

    def _renew(self, progress: Progress) -> Renewed:
        return self.source.renew(self.label, progress, force=self.force)
