"""Issue or renew a certificate: when it is due, and from where; what is wrong with a new one keeps the old one in place."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from engine.errors import OperationFailed, PlatformOpsError
from engine.nginx.self_signed import self_signed
from engine.progress import Progress
from engine.releases import lock
from engine.sources.certificates.front import Front, Shown
from engine.sources.certificates.pair import (
    CLOCKS_DIFFER,
    BadPair,
    Pair,
    is_certificate,
    is_whole,
    require_for,
    require_valid,
    require_whole,
)
from engine.sources.certificates.settings import CertificateSettings
from engine.words.wording import readable_time

ACCOUNT_KEY = "run/acme-account.pem"
"""On the platform's host: by it an authority knows us again. Whoever loses it registers anew."""
Clock = Callable[[], datetime]
Lock = Callable[[], AbstractContextManager[object]]
_LONG_OVER = timedelta(days=30)
"""So long after its end no certificate of our own is still there, where a run each day had renewed it."""


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
        pair = self.pair if self.pair and is_certificate(self.pair) else None
        until = f"valid until {readable_time(pair.ends)}" if pair else "none that can be read is there"
        if self.problem is not None and self.why:
            return f"The renewal failed, and the certificate of before is kept ({until}): {self.problem}"
        named = f"{', '.join(pair.names)}, issued by {pair.issuer}" if pair else ""
        message = f"Renewed, since {self.why}: {named}, {until}." if self.why else f"Nothing is due: {named}, {until}."
        return f"{message} But {self.problem}" if self.problem else message


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
    return f"it has {max(left, 0):.0f} days left" if left < shown.pair.renew_days(settings.renew_days) else ""


def renew(
    front: Front,
    settings: CertificateSettings,
    locked: Lock,
    progress: Progress,
    *,
    force: bool = False,
    clock: Clock = now,
) -> Renewed:
    """Finish what a killed run began, then renew what is due. `locked` is the platform's lock, which is held only while
    something of it is looked at or changed: an authority may take its time.

    What goes wrong is in the result: the old certificate stays in place, and stays shown. What was issued by then stays
    beside it, and the next run installs that.

    Raises:
        LockedByAnother: a deploy, or another run, is at the platform.
        PlatformOpsError: the platform cannot be looked at.
    """
    at = clock()
    with lock.held(front.platform.site, "a renewal", "certificates"):
        with locked():
            shown = front.settle(progress)
        pair = shown.pair if shown else None
        why = due(shown, settings, at) or ("it was asked for" if force else "")
        if not why:
            if shown:
                front.volume.discard(shown.held.spare)
            return _as_it_was(settings, pair, at, front.unsettled)
        try:
            found = (None if force else _left_by_another(front, shown, settings, at)) or _issued(
                front, settings, shown, at, progress, force
            )
            with locked():
                Front(front.platform).install(*found, progress)  # a deploy may have replaced nginx meanwhile
        except BadPair as error:
            source = settings.directory if settings.method == "acme" else "this host"
            problem = OperationFailed(f"what {source} issued was not installed: {error}.")
            return _renewed(settings, pair, at, why, problem)
        except PlatformOpsError as error:
            return _renewed(settings, pair, at, why, error)
        return _renewed(settings, found[1], at, why)


def _left_by_another(
    front: Front, shown: Shown | None, settings: CertificateSettings, at: datetime
) -> tuple[str, Pair] | None:
    """What an earlier run had issued and could not install: an authority issues a few in a week for the same names."""
    if shown is None:
        return None
    beside = front.beside(shown).items()
    return next((found for found in beside if not due(Shown(found[1], shown.held), settings, at)), None)


def _issued(
    front: Front, settings: CertificateSettings, shown: Shown | None, at: datetime, progress: Progress, force: bool
) -> tuple[str, Pair]:
    """A new pair, beside the one that is shown before anything of it can fail.

    Raises:
        BadPair: it is not what was asked for.
        PlatformOpsError: there is none.
    """
    pair = _new(front, settings, shown, at, progress, force)
    require_for(pair, settings.names)
    require_whole(pair)
    require_valid(pair, at)
    identity = f"{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    front.place(identity, pair)
    if shown:
        front.volume.discard(shown.held.spare)
    return identity, pair


def _as_it_was(settings: CertificateSettings, pair: Pair | None, at: datetime, unsettled: str) -> Renewed:
    problem = OperationFailed(unsettled) if unsettled else None
    return replace(_renewed(settings, pair, at), problem=problem, urgent=problem is not None)


def _renewed(
    settings: CertificateSettings,
    pair: Pair | None,
    at: datetime,
    why: str = "",
    problem: PlatformOpsError | None = None,
) -> Renewed:
    if pair is None or not is_certificate(pair):
        return Renewed(pair, why, problem, 0.0, problem is not None)
    left, begin = pair.days_left(at), pair.renew_days(settings.renew_days)
    warn = settings.warn_days * begin / settings.renew_days
    return Renewed(pair, why, problem, left, problem is not None and left < warn)


def _new(
    front: Front, settings: CertificateSettings, shown: Shown | None, at: datetime, progress: Progress, force: bool
) -> Pair:
    if settings.method == "acme":
        from engine.sources.certificates.issue import issue  # its libraries take a while to load

        return issue(settings, _account_key(front), front, at, progress)
    if not force:
        _require_a_clock_that_is_right(front, shown, at)
        _require_none_of_an_authority(front, shown, at)
    return Pair(*self_signed(settings.names))


def _require_none_of_an_authority(front: Front, shown: Shown | None, at: datetime) -> None:
    """Nobody trusts one of our own: it takes the place of no valid one that somebody got from an authority, also where its
    key is locked with a password that nginx knows.

    Raises:
        BadPair: there is such a one.
    """
    if shown is None:
        return
    try:
        require_valid(shown.pair, at)
        if shown.pair.self_signed:
            return
    except BadPair:
        return
    if not is_whole(shown.pair) and front.shown() != shown.pair.fingerprint:
        return
    raise BadPair(
        f"the one that is there was issued by {shown.pair.issuer} and is valid, and a self-signed one would take its place: "
        'set method = "acme" or its names, or renew with --now'
    )


def _require_a_clock_that_is_right(front: Front, shown: Shown | None, at: datetime) -> None:
    """An authority's dates show that our clock is wrong; here only what is on the host does: the release that runs was made
    before now, and a certificate is renewed before it ends. One that a clock made which was ahead is of no use to
    anybody, and another takes its place.

    Raises:
        BadPair: it is earlier than the release, or long after the end.
    """
    made = front.staged.release.made
    if at < made - CLOCKS_DIFFER:
        raise BadPair(
            f"here it is {readable_time(at)}, and the release that runs was made {readable_time(made)}; set the clock, or, where "
            "that one is wrong, renew with --now"
        )
    if shown and is_certificate(shown.pair) and at > shown.pair.ends + _LONG_OVER:
        raise BadPair(
            f"here it is {readable_time(at)}, and the one that is there ended {readable_time(shown.pair.ends)}, long ago; look "
            "at the clock, and renew with --now where it is right"
        )


def _account_key(front: Front) -> bytes:
    from engine.sources.certificates.issue import is_account_key, new_account_key

    site = front.platform.site
    found = site.read(ACCOUNT_KEY)
    if found and not is_account_key(found):
        site.write(f"{ACCOUNT_KEY}.damaged", found)
        found = None
    if not found:
        found = new_account_key()
        site.write(ACCOUNT_KEY, found)
    return found
