"""The nginx that shows a certificate: what it shows now, another one tried and installed, the authority's files served."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from dataclasses import dataclass
from functools import cached_property

import httpx

from engine.errors import ConfigurationError, OperationFailed
from engine.hosts.endpoints import Endpoint, Tcp, Unix
from engine.progress import Progress
from engine.releases.certificate_volume import CertificateVolume, Held, certificate_volume
from engine.releases.gateway import Gateway
from engine.releases.platform import Platform
from engine.releases.probes import Probes
from engine.releases.staging import Staged
from engine.sources.certificates.pair import BadPair, Pair, pem_of

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
    """nginx of a platform, with its certificate."""

    platform: Platform

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

    def install(self, identity: str, pair: Pair, progress: Progress) -> None:
        """Let nginx show this pair, and see that it does. The one before stays beside it.

        Raises:
            OperationFailed: nginx refuses it, or did not take it over: the one before is shown.
        """
        progress(f"let nginx try the certificate {pair.fingerprint[:12]}")
        self.volume.place(identity, pair.chain, pair.key)
        if said := self.volume.tried(identity, self.platform.site):
            self.volume.tidy()
            raise OperationFailed(f"nginx refuses the certificate; the one before stays: {said}")
        progress("change over")
        before = self.volume.read()
        self.volume.switch(identity)
        try:
            self.take_over(pair)
        except BaseException:
            if before is not None:
                self._put_back(Pair(before.chain, before.key))
            raise

    def _put_back(self, pair: Pair) -> None:
        held = self.volume.read()
        if held and held.previous:
            self.volume.switch(held.previous)
            with contextlib.suppress(OperationFailed):  # why it goes back is the error to tell
                self.take_over(pair)

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
                    "nginx did not take over the certificate, and the one before is shown again; look at its log "
                    "(platformctl logs nginx)."
                )
            time.sleep(0.1)

    def settle(self, progress: Progress) -> Shown | None:
        """Finish what a killed run began: nginx shows the pair that it finds, or else the one before. What it finds then.

        Raises:
            OperationFailed: it shows neither.
        """
        found = self.found()
        if found is None:
            return None
        if found.held.spare:
            self.volume.tidy()
        if not self.runs() or self.shown() == found.pair.fingerprint:
            return found
        progress("finish an installation that was cut off")
        refused = found.held.live and self.volume.tried(found.held.live, self.platform.site)
        if refused and found.held.previous:
            self.volume.switch(found.held.previous)
            found = self.found() or found
        self.take_over(found.pair)
        return found

    # The authority's files ----------------------------------------------------------------------------------------

    def put(self, token: str, text: str) -> None:
        """See `issue.Places`: nginx must give it to us, before the authority asks and counts a failure."""
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
