"""Issue or renew a certificate: when it is due, and from where; what is wrong with a new one keeps the old one in place."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from engine.errors import OperationFailed, PlatformOpsError
from engine.nginx.self_signed import self_signed
from engine.progress import Progress
from engine.sources.certificates.front import Front, Shown
from engine.sources.certificates.pair import CLOCKS_DIFFER, BadPair, Pair, require_for, require_valid, require_whole
from engine.sources.certificates.settings import CertificateSettings
from engine.words.wording import readable_time

ACCOUNT_KEY = "run/acme-account.pem"
"""On the platform's host: by it an authority knows us again. Whoever loses it registers anew."""
Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Renewed:
    """What a renewal came to: `why` it was due ('': it was not), and what kept it from being ('': nothing)."""

    pair: Pair | None
    why: str = ""
    problem: PlatformOpsError | None = None
    days_left: float = 0.0
    urgent: bool = False

    @property
    def sentence(self) -> str:
        """What an operator reads."""
        until = f"valid until {readable_time(self.pair.ends)}" if self.pair else "none is there"
        if self.problem is not None:
            return f"The renewal failed, and the certificate of before is kept ({until}): {self.problem}"
        named = f"{', '.join(self.pair.names)}, issued by {self.pair.issuer}" if self.pair else ""
        return f"Renewed, since {self.why}: {named}, {until}." if self.why else f"Nothing is due: {named}, {until}."


def due(shown: Shown | None, settings: CertificateSettings, at: datetime) -> str:
    """Why another certificate is wanted; '' where the one that is there is as it should be."""
    if shown is None:
        return "there is none"
    try:
        require_whole(shown.pair)
        require_for(shown.pair, settings.names)
        require_valid(shown.pair, at)
    except BadPair as error:
        return str(error)
    if settings.method == "acme" and shown.pair.self_signed:
        return "no authority has issued it"
    left = shown.pair.days_left(at)
    return f"it has {max(left, 0):.0f} days left" if left < settings.renew_days else ""


def renew(
    front: Front, settings: CertificateSettings, progress: Progress, *, force: bool = False, clock: Clock = now
) -> Renewed:
    """Finish what a killed run began, then renew what is due; the caller holds the platform's lock.

    What goes wrong is in the result: the old certificate stays in place, and stays shown.

    Raises:
        PlatformOpsError: the platform cannot be looked at, or shows no certificate that it has.
    """
    shown, at = front.settle(progress), clock()
    why = due(shown, settings, at) or ("it was asked for" if force else "")
    if not why:
        return _renewed(settings, shown.pair if shown else None, at)
    try:
        pair = _new(front, settings, shown, at, progress, force)
        require_for(pair, settings.names)
        require_whole(pair)
        require_valid(pair, at)
        front.install(f"{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}", pair, progress)
    except BadPair as error:
        source = settings.directory if settings.method == "acme" else "this host"
        problem = OperationFailed(f"what {source} issued was not installed: {error}.")
        return _renewed(settings, shown.pair if shown else None, at, why, problem)
    except PlatformOpsError as error:
        return _renewed(settings, shown.pair if shown else None, at, why, error)
    return _renewed(settings, pair, at, why)


def _renewed(
    settings: CertificateSettings,
    pair: Pair | None,
    at: datetime,
    why: str = "",
    problem: PlatformOpsError | None = None,
) -> Renewed:
    left = _days_left(pair, at)
    return Renewed(pair, why, problem, left, problem is not None and left < settings.warn_days)


def _days_left(pair: Pair | None, at: datetime) -> float:
    try:
        return pair.days_left(at) if pair else 0.0
    except BadPair:
        return 0.0


def _new(
    front: Front, settings: CertificateSettings, shown: Shown | None, at: datetime, progress: Progress, force: bool
) -> Pair:
    if settings.method == "acme":
        from engine.sources.certificates.issue import issue  # its libraries take a while to load

        return issue(settings, _account_key(front), front, progress)
    if not force:
        _require_a_clock_that_went_on(shown, at)
        _require_none_of_an_authority(shown, at)
    return Pair(*self_signed(settings.names))


def _require_none_of_an_authority(shown: Shown | None, at: datetime) -> None:
    """Nobody trusts one of our own: it takes the place of no valid one that somebody got from an authority.

    Raises:
        BadPair: there is such a one.
    """
    if shown is None:
        return
    try:
        require_whole(shown.pair)
        require_valid(shown.pair, at)
        if shown.pair.self_signed:
            return
    except BadPair:
        return
    raise BadPair(
        f"the one that is there was issued by {shown.pair.issuer} and is valid, and a self-signed one would take its place: "
        'set method = "acme" or its names, or renew with --now'
    )


def _require_a_clock_that_went_on(shown: Shown | None, at: datetime) -> None:
    """An authority's dates show that our clock is wrong; here only the certificate of before does.

    Raises:
        BadPair: it is earlier than that one was made.
    """
    try:
        begins = shown.pair.begins if shown else at
    except BadPair:
        return
    if at < begins - timedelta(hours=1) - CLOCKS_DIFFER:
        raise BadPair(
            f"here it is {readable_time(at)}, and the one that is there was made for {readable_time(begins)} on; set the clock, "
            "or, where that one is wrong, renew with --now"
        )


def _account_key(front: Front) -> bytes:
    from engine.sources.certificates.issue import new_account_key

    site = front.platform.site
    found = site.read(ACCOUNT_KEY)
    if not found:
        found = new_account_key()
        site.write(ACCOUNT_KEY, found)
    return found
