"""A certificate from an authority that speaks ACME (RFC 8555): it asks the platform's nginx for a file (http-01)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol

import requests
from acme import challenges, client, crypto_util, errors, messages
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError, TransientFailure
from engine.progress import Progress
from engine.sources.certificates.pair import CLOCKS_DIFFER, Pair
from engine.sources.certificates.settings import CertificateSettings
from engine.version import VERSION
from engine.words.wording import readable_time

_REQUEST_SECONDS = 30


class Challenges(Protocol):
    """What the authority finds at `http://NAME/.well-known/acme-challenge/`."""

    def put(self, token: str, text: str) -> None:
        """Raises:
        OperationFailed: nginx does not give it to who asks.
        """
        ...

    def remove(self, token: str) -> None: ...


def new_account_key() -> bytes:
    """A key by which an authority knows us, PEM."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def is_account_key(text: bytes) -> bool:
    """Whether it is such a key."""
    try:
        return isinstance(serialization.load_pem_private_key(text, None), ec.EllipticCurvePrivateKey)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def issue(
    settings: CertificateSettings, account_key: bytes, responses: Challenges, at: datetime, progress: Progress
) -> Pair:
    """A new certificate with a new key. `at` is what time it is here.

    Raises:
        OperationFailed: the authority refuses, or could not see the file; TransientFailure: it does not answer in time.
        ConfigurationError: what is configured of it cannot be used.
    """
    with _as_ours(settings.directory, settings.issue_seconds):
        return _Order(settings, account_key, responses, at, progress).carry_out()


@dataclass
class _Order:
    settings: CertificateSettings
    account_key: bytes
    responses: Challenges
    at: datetime
    progress: Progress

    def __post_init__(self) -> None:
        self.deadline = datetime.now() + timedelta(seconds=self.settings.issue_seconds)  # noqa: DTZ005 - as acme compares
        self.placed: list[str] = []

    def carry_out(self) -> Pair:
        authority = self._authority()
        key = _pem(ec.generate_private_key(ec.SECP256R1()))
        self.progress(f"order a certificate for {', '.join(self.settings.names)}")
        order = authority.new_order(crypto_util.make_csr(key, list(self.settings.names)))
        try:
            answers = [answer for each in order.authorizations if (answer := self._placed(authority, each))]
            for challenge, response in answers:  # once nginx gives all of the files: none is asked for in vain
                authority.answer_challenge(challenge, response)
            self.progress("wait for the authority")
            done = authority.poll_and_finalize(order, self.deadline)
        finally:
            for token in self.placed:
                with suppress(PlatformOpsError):  # a file that stays there does no harm
                    self.responses.remove(token)
        return Pair(done.fullchain_pem.encode(), key)

    def _authority(self) -> client.ClientV2:
        key = JWKEC(key=serialization.load_pem_private_key(self.account_key, None))
        bundle = self.settings.ca_bundle
        if bundle and not Path(bundle).is_file():
            raise ConfigurationError(f"ca_bundle names {bundle}, which is no file on this host; correct it.")
        network = client.ClientNetwork(
            key,
            alg=ES256,
            verify_ssl=bundle or True,  # type: ignore[arg-type] # requests takes a file too
            user_agent=f"platform-ops/{VERSION}",
            timeout=max(1, min(_REQUEST_SECONDS, int(self.settings.issue_seconds))),
        )
        answer = network.get(self.settings.directory)
        _require_same_time(self.settings.directory, answer.headers.get("Date", ""), self.at)
        found = client.ClientV2(messages.Directory.from_json(answer.json()), network)
        wanted = messages.NewRegistration.from_data(
            email=self.settings.contact or None, terms_of_service_agreed=self.settings.terms_agreed
        )
        try:
            found.new_account(wanted)
        except errors.ConflictError as known:
            there = found.query_registration(messages.RegistrationResource(uri=known.location, body=wanted))
            if self.settings.contact and there.body.contact != wanted.contact:
                found.update_registration(there, messages.Registration(contact=wanted.contact))
        return found

    def _placed(
        self, authority: client.ClientV2, authorization: messages.AuthorizationResource
    ) -> tuple[messages.ChallengeBody, challenges.HTTP01Response] | None:
        """Place the file of a name. One that was shown lately needs none."""
        if authorization.body.status == messages.STATUS_VALID:
            return None
        for each in authorization.body.challenges:
            if isinstance(each.chall, challenges.HTTP01):
                response, text = each.chall.response_and_validation(authority.net.key)
                token = each.chall.encode("token")
                self.placed.append(token)
                self.responses.put(token, text)
                return each, response
        raise OperationFailed(
            f"{self.settings.directory} offers no http-01 for {authorization.body.identifier.value}, and nothing else is done "
            "here."
        )


def _require_same_time(directory: str, shown: str, at: datetime) -> None:
    """Nothing is ordered by a clock that is wrong: an authority issues a few in a week for the same names, and this one
    would not be installed.

    Raises:
        OperationFailed: the authority's clock says another time.
    """
    try:
        theirs = parsedate_to_datetime(shown)
        differ = abs(theirs - at) > CLOCKS_DIFFER
    except (ValueError, TypeError):  # it tells no time, or one without its zone
        return
    if differ:
        raise OperationFailed(
            f"by the clock of {directory} it is {readable_time(theirs)}, and here it is {readable_time(at)}; set the clock of "
            "this host. Nothing was ordered."
        )


@contextmanager
def _as_ours(directory: str, seconds: float) -> Iterator[None]:
    """What the client raises, as one sentence of ours."""
    try:
        yield
    except errors.ValidationError as error:
        raise OperationFailed(
            f"{directory} could not see that the names are ours: {_why(error.failed_authzrs)}"
        ) from None
    except errors.TimeoutError:
        raise TransientFailure(f"{directory} issued nothing within {seconds:g} s; the next run asks again.") from None
    except errors.IssuanceError as error:
        raise OperationFailed(f"{directory} refuses the certificate: {_detail(error.error)}") from None
    except messages.Error as error:
        raise OperationFailed(f"{directory} refuses: {_detail(error)}") from None
    except requests.exceptions.SSLError as error:
        if "not yet valid" in str(error) or "expired" in str(error):
            raise OperationFailed(
                f"{directory} shows a certificate that is not valid at the time it is here: set the clock of this host, or wait "
                "until the authority has another."
            ) from None
        raise ConfigurationError(
            f"{directory} shows a certificate that is not known here; name the authority's own in ca_bundle, or correct directory."
        ) from None
    except requests.exceptions.Timeout:
        raise TransientFailure(f"{directory} did not answer in time; the next run asks again.") from None
    except (requests.exceptions.RequestException, OSError) as error:
        raise TransientFailure(
            f"{directory} cannot be reached ({type(error).__name__}); the next run asks again."
        ) from None
    except (errors.Error, JoseError, ValueError) as error:
        raise OperationFailed(f"{directory} does not answer as ACME has it: {str(error)[:200]}") from None


def _detail(error: messages.Error) -> str:
    inner = [str(each.detail) for each in error.subproblems or () if each.detail]
    return " ".join((str(error.detail or error.typ), *inner))[:400]


def _why(failed: Sequence[messages.AuthorizationResource]) -> str:
    return "; ".join(
        f"{each.body.identifier.value}: {challenge.error.detail}"
        for each in failed
        for challenge in each.body.challenges
        if challenge.error
    )[:600]


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
