"""What a renewal came to, for people."""

from __future__ import annotations

from dataclasses import replace

from engine.sources.certificates.facts import CertificateFacts
from engine.sources.certificates.operation import RenewalRun
from engine.sources.certificates.pair import BadPair
from engine.words.report import Report


def renewal_report(run: RenewalRun, stored: Report | None) -> Report:
    """The renewal first, then what was stored of it, where something was."""
    title = f"Certificate of {run.source.settings.platform}"
    if stored is not None:
        return replace(stored, title=title, sentence=f"{run.sentence} {stored.sentence}".strip())
    return Report(title, run.sentence or "Nothing was looked at yet.", facts=_facts(run))


def _facts(run: RenewalRun) -> tuple[tuple[str, str], ...]:
    if run.renewed is None or run.renewed.pair is None:
        return ()
    try:
        return CertificateFacts.of(run.source.settings.platform, run.renewed.pair).shown()
    except BadPair:
        return ()
