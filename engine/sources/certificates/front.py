"""The nginx that shows a certificate: what it shows now, another one tried and installed, the authority's files served."""

from __future__ import annotations

import re
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import httpx

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError
from engine.hosts.endpoints import Endpoint, Tcp, Unix
from engine.progress import Progress
from engine.releases.certificate_volume import CertificateVolume, Held, certificate_volume
from engine.releases.gateway import Gateway
from engine.releases.platform import Platform
from engine.releases.probes import Probes
from engine.releases.staging import Staged
from engine.sources.certificates.pair import BadPair, Pair, is_usable, is_whole, pem_of

_CHALLENGES = "run/nginx/acme/.well-known/acme-challenge"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")
_RELOAD_SECONDS, _HANDSHAKE_SECONDS, _TIMES = 15.0, 10.0, 3
_PLAIN_PORT = 80


@dataclass(frozen=True)
class Shown:
    """What nginx finds, and what else is in its volume."""

    pair: Pair
    held: Held


@dataclass
class Front:
    """nginx of a platform, with its certificate. `unsettled`: what `settle` could not put right ('': nothing)."""

    platform: Platform
    unsettled: str = ""

    @cached_property
    def staged(self) -> Staged:
        """The release that runs.

        Raises:
            ConfigurationError: there is none yet.
        """
        found = self.platform.running()
        if found is None:
            raise ConfigurationError(
                f"Nothing of {self.platform.name} was deployed yet, and the first deploy makes a certificate; deploy it."
            )
        return found

    @cached_property
    def volume(self) -> CertificateVolume:
        """Raises:
        ConfigurationError: it has none of its own.
        """
        found = certificate_volume(self.platform.docker, self.staged.model)
        if found is None:
            raise ConfigurationError(
                f"The nginx of {self.platform.name} has no volume of the platform's own at /etc/nginx/ssl; add one to its service."
            )
        return found

    @cached_property
    def probes(self) -> Probes:
        return Probes(self.platform.docker, self.staged.model, self.staged.values)

    @property
    def gateway(self) -> Gateway:
        return Gateway(self.platform.site, self.probes)

    # What is there ------------------------------------------------------------------------------------------------

    def found(self) -> Shown | None:
        """The pair that nginx finds in its volume; None where there is none."""
        held = self.volume.read()
        return None if held is None else Shown(Pair(held.chain, held.key), held)

    def shown(self, seconds: float = _HANDSHAKE_SECONDS) -> str:
        """The fingerprint of the certificate that nginx shows; '' where nobody answers so soon."""
        try:
            return Pair(pem_of(handshake(self.probes.public_at(), seconds=seconds)), b"").fingerprint
        except (OSError, BadPair):
            return ""

    def runs(self) -> bool:
        return self.gateway.container() is not None

    # Another one --------------------------------------------------------------------------------------------------

    def place(self, identity: str, pair: Pair) -> None:
        """Put a pair beside the one that nginx shows, which nothing notices."""
        self.volume.place(identity, pair.chain, pair.key)

    def beside(self, shown: Shown | None) -> dict[str, Pair]:
        """Pairs of the volume that are neither used nor the one before, the newest first: a run that failed left them."""
        spare = sorted(shown.held.spare, reverse=True) if shown else ()
        found: dict[str, Pair] = {}
        for each in spare:
            with suppress(OperationFailed):  # one that is not whole is of no use, and in nobody's way
                found |= {each: Pair(*self.volume.pair(each))} if each[0].isalnum() else {}
        return found

    def install(self, identity: str, pair: Pair, progress: Progress) -> None:
        """Let nginx show a pair that was placed, and see that it does. The one before stays beside it.

        Raises:
            OperationFailed: nginx refuses it, or did not take it over; the sentence says what is shown then.
        """
        progress(f"let nginx try the certificate {pair.fingerprint[:12]}")
        if message := self.volume.tried(identity, self.platform.site):
            raise OperationFailed(f"nginx refuses the certificate; the one before stays: {message}")
        progress("change over")
        before = self.volume.read()
        self.volume.switch(identity)
        try:
            self.take_over(pair)
        except OperationFailed as error:
            raise OperationFailed(f"{error} {self._put_back(before)}") from None
        except BaseException:
            self._put_back(before)
            raise

    def _put_back(self, before: Held | None) -> str:
        """Let nginx find again what it found; what came of it, in a sentence."""
        try:
            held = self.volume.read()
            if before is None or held is None or not held.previous:
                return "There was none before it."
            self.volume.back(held.previous, before.previous)
        except PlatformOpsError as error:
            return f"The one before could not be put in its place again: {error}"
        try:
            self.take_over(Pair(before.chain, before.key))
        except PlatformOpsError as error:  # why it goes back is the error to tell first
            return f"The one before is in its place again, but is not seen either: {error}"
        return "The one before is shown again."

    def take_over(self, pair: Pair) -> None:
        """Have nginx read its files again, and see that it shows this pair. One that does not run will, when it starts.

        Raises:
            OperationFailed: it does not.
        """
        container = self.gateway.container()
        if container is None:
            return
        self.platform.docker.call(("docker", "kill", "--signal", "HUP", container.id))
        deadline, seen = time.monotonic() + _RELOAD_SECONDS, 0
        while seen < _TIMES:  # a worker of before may take one more
            left = max(deadline - time.monotonic(), 0.1)
            seen = seen + 1 if self.shown(min(left, _HANDSHAKE_SECONDS)) == pair.fingerprint else 0
            if time.monotonic() > deadline:
                raise OperationFailed(
                    "nginx did not take over the certificate; look at its log (platformctl logs nginx)."
                )
            time.sleep(0.1)

    def settle(self, progress: Progress) -> Shown | None:
        """Finish what a killed run began: nginx shows the pair that it finds, or else the one before. What it finds then.

        What cannot be put right is said in `unsettled`: it keeps nobody from renewing or storing. Files that are no whole
        pair an operator put there; nginx is not asked to read them.
        """
        found, self.unsettled = self.found(), ""
        if found is None or not is_whole(found.pair) or not self.runs():
            return found
        try:
            shown = self.shown(_HANDSHAKE_SECONDS)
            if shown == found.pair.fingerprint:
                return found
            if not shown:
                raise OperationFailed("It does not answer in TLS; look at its log (platformctl logs nginx).")
            progress("finish an installation that was cut off")
            found = self._good_one_of(found)
            self.take_over(found.pair)
        except OperationFailed as error:
            self.unsettled = f"nginx does not show the certificate that is in its volume: {error}"
        return found

    def _good_one_of(self, found: Shown) -> Shown:
        """The pair that nginx finds, or where nginx refuses it the one before, which it takes.

        Raises:
            OperationFailed: it takes neither.
        """
        held, site = found.held, self.platform.site
        message = "" if held.plain or not held.live else self.volume.tried(held.live, site)
        if not message:
            return found
        before = Pair(*self.volume.pair(held.previous)) if held.previous else None
        if before is None or not is_usable(before, datetime.now(UTC)) or self.volume.tried(held.previous, site):
            raise OperationFailed(f"nginx refuses it, and there is no other that it would take: {message}")
        self.volume.back(held.previous, "")
        return self.found() or found

    # The authority's files ----------------------------------------------------------------------------------------

    def put(self, token: str, text: str) -> None:
        """See `issue.Challenges`: nginx must give it to us, before the authority asks and counts a failure."""
        site = self.platform.site
        site.make_folders("run/nginx/acme/.well-known", _CHALLENGES, mode="0755")
        site.write(f"{_CHALLENGES}/{_checked(token)}", text.encode(), mode=0o644)
        container = self.gateway.container()
        if container is None:
            raise OperationFailed(
                f"nginx of {self.platform.name} does not run, so that no authority can ask it; start it."
            )
        at = self.platform.docker.host.tunnel(Tcp(container.address, _PLAIN_PORT), from_there=True).at
        try:
            answer = httpx.get(f"http://{at}/.well-known/acme-challenge/{token}", timeout=_HANDSHAKE_SECONDS)
        except httpx.HTTPError as error:
            raise OperationFailed(
                f"nginx does not answer at its port {_PLAIN_PORT} ({type(error).__name__}); look at its log."
            ) from None
        if answer.text != text:
            raise OperationFailed(
                f"nginx does not give the authority's file at /.well-known/acme-challenge/ (it answers {answer.status_code}); "
                "stack/nginx/platform.conf shows the location that belongs there."
            )

    def remove(self, token: str) -> None:
        self.platform.site.remove(f"{_CHALLENGES}/{_checked(token)}")


def handshake(at: Endpoint, name: str = "localhost", seconds: float = _HANDSHAKE_SECONDS) -> bytes:
    """The certificate that is shown there, DER. Whose it is, is not asked here.

    Raises:
        OSError: nobody answers, or not in TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with _connected(at, seconds) as plain, context.wrap_socket(plain, server_hostname=name) as secured:
        return secured.getpeercert(binary_form=True) or b""


def _connected(at: Endpoint, seconds: float) -> socket.socket:
    if isinstance(at, Unix):
        found = socket.socket(socket.AF_UNIX)
        found.settimeout(seconds)
        found.connect(at.path)
        return found
    return socket.create_connection((at.host, at.port), timeout=seconds)


def _checked(token: str) -> str:
    """What an authority calls a file is a name and no path."""
    if not _TOKEN.fullmatch(token):
        raise OperationFailed("The authority asks for a file whose name is none; nothing was placed.")
    return token
