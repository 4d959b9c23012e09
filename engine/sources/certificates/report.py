"""What a renewal came to, for people."""

from __future__ import annotations

from dataclasses import replace

from engine.sources.certificates.operation import RenewalRun
from engine.words.report import Report


def renewal_report(run: RenewalRun, stored: Report) -> Report:
    """The renewal first, then what was stored of it."""
    title = f"Certificate of {run.source.settings.platform}"
    return replace(stored, title=title, sentence=f"{run.sentence} {stored.sentence}".strip())
