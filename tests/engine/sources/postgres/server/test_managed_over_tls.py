"""A managed server across a network: TLS with its authority verified, and passwords that AWS has."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine import aws_secrets, secrets
from engine.errors import ConfigurationError
from engine.sources.postgres.programs.account import account
from engine.sources.postgres.programs.installed import server_programs
from engine.sources.postgres.scratch.instance import Instance
from engine.streams.spool import temporary_base
from tests.engine.secrets_manager import aws
from tests.engine.sources.postgres.backups import back_up, drill, execute, run_script, store_in
from tests.engine.sources.postgres.managed import APPLICATION, OF_THE_APP, SERVICE, as_role
from tests.engine.stores.servers import free_port

__all__ = ["aws"]  # a fixture

_DEBIAN = 15
"""The wheel's programs know no TLS; Debian's do."""


def authority(folder: Path, name: str) -> tuple[Path, x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Its certificate, also as a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = _certificate(own, own, key.public_key()).add_extension(x509.BasicConstraints(True, None), critical=True)
    certificate = made.sign(key, hashes.SHA256())
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path, certificate, key


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
    )


def _for_the_server(folder: Path, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rds")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = _certificate(name, issuer.subject, key.public_key()).add_extension(names, critical=False)
    pem = serialization.Encoding.PEM
    (folder / "server.crt").write_bytes(made.sign(issuer_key, hashes.SHA256()).public_bytes(pem))
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(plain)
    for file in ("server.crt", "server.key"):
        (folder / file).chmod(0o600)
        os.chown(folder / file, *account())


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="po-test-", dir=temporary_base()))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def over_tls(folder: Path) -> Iterator[Instance]:
    """A managed server on 127.0.0.1 that takes nobody without TLS."""
    _for_the_server(folder, *authority(folder, "authority")[1:])
    settings = {"ssl": "on", "ssl_cert_file": str(folder / "server.crt"), "ssl_key_file": str(folder / "server.key")}
    server = Instance(
        folder / "pg",
        server_programs(_DEBIAN),
        port=free_port(),
        superuser="rdsadmin",
        listen="127.0.0.1",
        settings=settings | {"fsync": "off"},
    )
    try:
        server.create(sync=False)
        rules = server.data / "pg_hba.conf"
        rules.write_text("local all all trust\nhostssl all all all scram-sha-256\n")
        server.start()
        run_script(server, "postgres", SERVICE + APPLICATION)
        run_script(server, "shop", OF_THE_APP)
        yield server
    finally:
        server.remove()


def test_all_of_a_backup_goes_over_tls_with_a_password_of_secrets_manager(
    over_tls: Instance, folder: Path, aws: None, tmp_path: Path
) -> None:
    known = {"host": "127.0.0.1", "sslmode": "verify-full", "sslrootcert": str(folder / "authority.pem")}
    for reference in ("aws:kerp/prod/db-password", "aws:kerp/prod/db#password"):
        server = as_role(over_tls, password=reference, **known)
        made = back_up(server, store_in(tmp_path / reference[-8:].replace("/", "_")), ["shop"])
        assert drill(made.repository, made.cluster_key).result == "passed"
    unknown = known | {"sslrootcert": str(authority(tmp_path, "another")[0])}
    with pytest.raises(ConfigurationError, match=r"No TLS connection to rds .*certificate verify failed"):
        as_role(over_tls, password="aws:kerp/prod/db-password", **unknown).connect()
    with pytest.raises(ConfigurationError, match=r'No TLS connection to rds .*does not match host name "localhost"'):
        as_role(over_tls, password="aws:kerp/prod/db-password", **known | {"host": "localhost"}).connect()


def test_a_token_is_made_anew_while_a_run_goes_on(over_tls: Instance, folder: Path, aws: None) -> None:
    """PostgreSQL knows no IAM: the role gets the token that is good now as its password, as if IAM looked at its age."""
    port, host = over_tls.port, "127.0.0.1"
    reference = f"rds-iam:master@kerp.abc.ap-northeast-2.rds.amazonaws.com:{port}"
    server = as_role(
        over_tls, host=host, password=reference, sslmode="verify-full", sslrootcert=str(folder / "authority.pem")
    )
    first = _accepted(over_tls, reference)
    server.connect().close()
    assert server.dump_variables("x")["PGPASSWORD"] == first
    aws_secrets._kept[reference] = (aws_secrets._kept[reference][0] - aws_secrets.TOKEN_SECONDS, first)
    assert (
        "X-Amz-Expires=900" in first
        and f"kerp.abc.ap-northeast-2.rds.amazonaws.com:{port}/?Action=connect&DBUser=master" in first
    )
    time.sleep(1.1)  # a token says the second it was made in
    second = _accepted(over_tls, reference, other_than=first)
    server.connect().close()
    assert server.dump_variables("x")["PGPASSWORD"] == second != first
    execute(over_tls, "postgres", "ALTER ROLE master PASSWORD 'of the master'")


def _accepted(instance: Instance, reference: str, other_than: str = "") -> str:
    """The server takes the token of this moment and no older one."""
    token = secrets.resolve(reference)
    assert token != other_than
    with_its_hash = token.replace("'", "''")
    execute(instance, "postgres", f"ALTER ROLE master PASSWORD '{with_its_hash}'")
    return token


EXPECTED = {
    "aws:kerp/prod/nothing": r"AWS does not give the secret aws:kerp/prod/nothing \(ResourceNotFoundException\); correct its name",
    "aws:kerp/prod/db": r"The secret aws:kerp/prod/db has the keys password, username; give aws:kerp/prod/db#key",
    "aws:kerp/prod/db#user": r"has the keys password, username",
    "aws:kerp/prod/db-password#password": r"aws:kerp/prod/db-password is no JSON object; give aws:kerp/prod/db-password\.",
}


def test_what_is_wrong_with_a_secret_of_aws_is_said(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert secrets.resolve("aws:kerp/prod/db-password") == "of the master"
    for reference, message in EXPECTED.items():
        with pytest.raises(ConfigurationError, match=message) as caught:
            secrets.resolve(reference)
        assert "of the master" not in str(caught.value)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigurationError, match="No region is known for the secret aws:elsewhere; set AWS_REGION"):
        secrets.resolve("aws:elsewhere")


def test_a_token_goes_over_tls_only() -> None:
    with pytest.raises(ValueError, match="may not go in the clear"):
        as_role(Instance(Path("/nowhere"), Path("/nowhere")), password="rds-iam:master@db:5432")
    with pytest.raises(ValueError, match="given by reference"):
        as_role(Instance(Path("/nowhere"), Path("/nowhere")), password="rds-iam:master", sslmode="require")
