"""Prove a certificate's set: its files are read back, the key fits, and a server of our own shows the certificate."""

from __future__ import annotations

import os
import ssl
import time
from datetime import UTC, datetime

from engine.errors import DamagedSet
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Compared, Difference, Findings
from engine.repository.reading import read_small
from engine.repository.repository import Repository
from engine.sources.certificates.facts import CERTIFICATE, CertificateFacts
from engine.sources.certificates.pair import BadPair, Pair, pem_of, require_valid, require_whole


def read_pair(repository: Repository, body: Body) -> Pair:
    """The certificate and the key of a set, checked against its manifest.

    Raises:
        DamagedSet: they are not both there, or do not fit each other.
        CouldNotVerify: they are encrypted, and no private key of age is here.
    """
    chain, key = body.file("certificate"), body.file("key")
    if chain is None or key is None:
        raise DamagedSet(f"{body.key} holds no certificate with its key; use another set.")
    pair = Pair(read_small(repository, body, chain), read_small(repository, body, key))
    try:
        require_whole(pair)
    except BadPair as error:
        raise DamagedSet(f"{body.key} cannot be used: {error}; use another set.") from None
    return pair


def prove(repository: Repository, body: Body, findings: Findings, progress: Progress) -> None:
    """See `engine.repository.drill.Prove`."""
    began = time.monotonic()
    pair = read_pair(repository, body)
    findings.restored()
    progress("show it in a handshake of TLS")
    found = CertificateFacts.of(str(body.facts.get("platform", "")), Pair(shown_by(pair), pair.key))
    expected = CertificateFacts.model_validate(CERTIFICATE.facts_of(body).model_dump())
    findings.noun = CERTIFICATE.noun
    findings.differences = tuple(
        Difference(where=expected.platform, kind="certificate", name=name, expected=str(value), found=str(other))
        for (name, value), (_, other) in zip(expected, found, strict=True)
        if value != other
    )
    findings.compared = (
        Compared(
            name=expected.platform,
            differences=len(findings.differences),
            counts=dict(found.counts()),
            restore_seconds=time.monotonic() - began,
        ),
    )
    try:
        require_valid(pair, datetime.now(UTC))
    except BadPair as error:
        findings.remarks["not to be used today"] = str(error)


def shown_by(pair: Pair) -> bytes:
    """The certificate that a client gets of a server with these files, PEM. Both are here, and no port is open.

    Raises:
        DamagedSet: OpenSSL cannot use them.
    """
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_side.check_hostname, client_side.verify_mode = False, ssl.CERT_NONE
    client = client_side.wrap_bio(here, there, server_hostname="localhost")
    try:
        server = _server_side(pair).wrap_bio(there, here, server_side=True)
        for _ in range(4):  # TLS 1.3 needs two of them
            for side in (client, server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
    except ssl.SSLError as error:
        raise DamagedSet(
            f"OpenSSL cannot use the certificate with its key ({error.reason}); use another set."
        ) from None
    return pem_of(client.getpeercert(binary_form=True) or b"")


def _server_side(pair: Pair) -> ssl.SSLContext:
    """The library reads files only: these are in memory, and gone with this call."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(file), "wb") as whole:
            whole.write(pair.key + b"\n" + pair.chain)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return context
