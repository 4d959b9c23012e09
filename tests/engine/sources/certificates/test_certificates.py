"""Certificates of a real nginx: issued by pebble, tried, installed, stored, proven, restored; and what goes wrong."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from acme.client import ClientV2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from blocks import BackupStore, Platform, source_block
from engine.cli import main
from engine.config.settings import FolderStore
from engine.errors import ConfigurationError, OperationFailed
from engine.hosts.opening import close_hosts
from engine.nginx.self_signed import self_signed
from engine.operations.backup import BackupRun
from engine.operations.drill import drill_set
from engine.progress import silent
from engine.releases import lock
from engine.releases.certificate_volume import Held
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey, new_set_id
from engine.repository.repository import Repository
from engine.repository.writing import SetWriter
from engine.sources.certificates.facts import CertificateFacts
from engine.sources.certificates.front import Front, Shown, handshake
from engine.sources.certificates.operation import RenewalRun
from engine.sources.certificates.pair import Pair, pem_of, require_whole
from engine.sources.certificates.renewal import ACCOUNT_KEY, Renewed, due, renew
from engine.sources.certificates.settings import CertificateSettings
from engine.sources.certificates.source import CertificateSource
from engine.sources.certificates.source_type import CERTIFICATES
from engine.steps import InShell
from engine.stores.opening import open_store
from flows.certificate_renew import certificate_renew
from flows.restore_certificate import restore_certificate
from tests.conftest import WORKER
from tests.engine.hosts.sshd import running_sshd
from tests.engine.releases.small_platform import SmallPlatform
from tests.engine.sources.certificates.authority import BLOCKED, Authority, running_authority, swapping
from tests.engine.sources.certificates.showing import showing

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("releases")]
NAMES = ("kecp.example.test", "monitor.kecp.example.test")


@dataclass
class Scene:
    """The small platform with its certificate, and an authority."""

    small: SmallPlatform
    authority: Authority
    store: Path

    def source(self, **more: Any) -> CertificateSource:
        settings = {
            "platform": "small",
            "store": "nightly",
            "names": NAMES,
            "method": "acme",
            "directory": self.authority.directory,
            "ca_bundle": str(self.authority.bundle),
            "terms_agreed": True,
            "allow_unencrypted": True,
            "issue_seconds": 30,
        } | more
        return CertificateSource("tls", CertificateSettings(**settings), self.small.host, self.small.settings)

    def renewed(self, *, force: bool = False, at: datetime | None = None, **more: Any) -> Renewed:
        source = self.source(**more)
        clock = (lambda: at) if at else lambda: datetime.now(UTC)
        return renew(source.front, source.settings, partial(source.lock, "test"), silent, force=force, clock=clock)

    def installed(self, pair: Pair, identity: str = "") -> None:
        """What nginx shows from now on, whatever it is."""
        source, identity = self.source(), identity or f"test-{uuid4().hex[:8]}"
        with source.lock("test"):
            source.front.place(identity, pair)
            source.front.install(identity, pair, silent)

    def put_by_hand(self, **files: bytes) -> None:
        """These files and nothing else are in nginx's volume."""
        volume = self.source().front.volume
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(f"{name}.pem")
                member.size, member.uid, member.mode = len(data), 101, 0o600
                archive.addfile(member, io.BytesIO(data))
        script = "cd /ssl && rm -rf pairs live previous *.pem && tar -x"
        argv = ["docker", "run", "--rm", "--interactive", "--volume", f"{volume.volume}:/ssl", "--entrypoint", "sh"]
        subprocess.run([*argv, volume.image, "-c", script], input=packed.getvalue(), check=True)

    def shown(self) -> Pair:
        """What a client gets."""
        return Pair(pem_of(handshake(self.source().front.probes.public_at(), NAMES[0])), b"")

    def config(self, folder: Path) -> Path:
        """A platform-ops.toml with all of it."""
        settings = self.source().settings
        path = folder / "platform-ops.toml"
        path.write_text(
            f'[certificates.tls]\nplatform = "small"\nstore = "nightly"\nnames = {list(NAMES)}\nmethod = "acme"\n'
            f'directory = "{settings.directory}"\nca_bundle = "{settings.ca_bundle}"\nterms_agreed = true\n'
            f'allow_unencrypted = true\n[stores.nightly]\nkind = "folder"\npath = "{self.store}"\n'
            + self.small.config.read_text(encoding="utf8"),
            encoding="utf8",
        )
        return path

    def repository(self) -> Repository:
        return Repository(open_store("nightly", FolderStore(path=str(self.store))))


def published(small: SmallPlatform, port: int) -> int:
    (nginx,) = small.containers()["nginx"]
    reported = subprocess.run(
        ["docker", "port", nginx.id, str(port)], capture_output=True, text=True, check=True
    ).stdout
    return int(reported.split()[0].rpartition(":")[2])


@pytest.fixture(scope="module")
def scene(small: SmallPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "store").mkdir()
    with running_authority(folder / "pebble", 28_700 + WORKER * 100, published(small, 80)) as authority:
        yield Scene(small, authority, folder / "store")


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority is asked every second whether it has come to an end; this one is quick."""
    hasty = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.1)), time=time.time)
    monkeypatch.setattr("acme.client.time", hasty)


def pairs(scene: Scene) -> set[str]:
    """What lies in the volume."""
    volume = scene.source().front.volume
    argv = ("docker", "run", "--rm", "--volume", f"{volume.volume}:/ssl:ro", "--entrypoint", "ls", volume.image, "-A")
    return set(subprocess.run([*argv, "/ssl/pairs"], capture_output=True, text=True, check=True).stdout.split())


def backed_up(scene: Scene, repository: Repository, **more: Any) -> BackupRun:
    run = BackupRun(scene.source(**more), lambda name: repository, uuid4().hex, "test")
    run.carry_out(InShell(silent))
    return run


def made_pair(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    days: float = 90,
    since: float = 0,
    more: Sequence[str] = (),
) -> Pair:
    """One that is whole, and signed by itself; it has so many days left, and begins so many days ago."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=since))
    made = made.not_valid_after(now + timedelta(days=days))
    made = made.add_extension(
        x509.SubjectAlternativeName([x509.DNSName(each) for each in (*NAMES, *more)]), critical=False
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), private)


def weak_pair() -> Pair:
    """One that OpenSSL takes for no server: its key is too short."""
    return made_pair(rsa.generate_private_key(65537, 1024))  # noqa: S505 - that is what is wrong with it


def test_a_certificate_is_issued_installed_stored_and_proven(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    before, repository, site = scene.shown(), scene.repository(), scene.small.platform().site
    done: list[str] = []
    put, answer = Front.put, ClientV2.answer_challenge

    def putting(front: Front, token: str, text: str) -> None:
        with lock.held(site, "a deploy"):  # the authority is waited for without the platform's lock
            put(front, token, text)
        done.append("put")

    def answering(client: ClientV2, *words: Any) -> Any:
        done.append("answer")
        return answer(client, *words)

    monkeypatch.setattr(Front, "put", putting)
    monkeypatch.setattr(ClientV2, "answer_challenge", answering)
    site.write(ACCOUNT_KEY, b"damaged")
    made = scene.renewed()
    assert made.problem is None and made.why, made.sentence
    assert done == ["put", "put", "answer", "answer"]
    assert site.read(f"{ACCOUNT_KEY}.damaged") == b"damaged" and b"PRIVATE" in site.must_read(ACCOUNT_KEY)
    shown = scene.shown()
    assert made.pair is not None and shown.fingerprint == made.pair.fingerprint != before.fingerprint
    assert set(shown.names) == set(NAMES) and not shown.self_signed
    assert "Nothing is due" in scene.renewed().sentence
    assert scene.small.change().plan.empty  # type: ignore[union-attr]

    refused = backed_up(scene, repository, allow_unencrypted=False).problem()
    assert isinstance(refused, ConfigurationError) and "recipients" in str(refused)
    (stored,) = backed_up(scene, repository).result.stored
    again = backed_up(scene, repository).result  # what is unchanged is not stored again
    assert not again.stored and [one.since for _, one in again.unchanged] == [stored.key]
    monkeypatch.setattr("engine.operations.drill.LOCK", f"test-{uuid4().hex}")
    drilled = drill_set(repository, stored.key, "test", silent)
    assert drilled.result == "passed", drilled.sentence
    kept = b"".join(path.read_bytes() for path in scene.store.rglob("*.json"))
    assert shown.fingerprint.encode() in kept and b"PRIVATE" not in kept + repr(made).encode()

    facts = CertificateFacts.of("small", before)
    for pair, result in ((made.pair, "failed"), (Pair(made.pair.chain, weak_pair().key), "failed")):
        out = SetWriter(repository, SetKey("tls", "certificate", "", new_set_id(datetime.now(UTC), uuid4().hex)))
        out.add("fullchain.pem", pair.chain, "certificate")
        out.add("privkey.pem", pair.key, "key")
        out.publish(facts)
        assert drill_set(repository, out.key, "test", silent).result == result
        out.withdraw()


def test_a_stored_certificate_is_shown_again_or_laid_beside(
    scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """From the shell: renewed although nothing is due, then the stored one back in its place."""
    config = scene.config(tmp_path)

    def run(*words: str, code: int = 0) -> dict[str, Any]:
        assert main(["--config", str(config), *words, "--json"]) == code
        return dict(json.loads(capsys.readouterr().out))

    stored, before = run("certificate", "renew")["result"]["stored"], scene.shown()
    assert stored
    renewed = run("certificate", "renew", "tls", "--now")["result"]
    assert renewed["renewed"] and renewed["stored"] != stored and scene.shown().fingerprint != before.fingerprint
    back = ("certificate", "restore", "--set", stored)
    assert "repeat each name" in run(*back, "--in-place", code=2)["error"]["sentence"]
    [there] = run(*back, "--in-place", "--confirm", "tls")["result"]["restored"]
    assert there["name"] == "tls" and there["kept"] and scene.shown().fingerprint == before.fingerprint
    [again] = run(*back, "--in-place", "--confirm", "tls")["result"]["restored"]
    assert again["kept"] not in ("", there["kept"]) and scene.shown().fingerprint == before.fingerprint
    for pair, output in ((made_pair(days=-1, since=9), "was valid until"), (Pair(*self_signed(["a.test"])), "not for")):
        expired = SetWriter(scene.repository(), SetKey("tls", "certificate", "", new_set_id(datetime.now(UTC), output)))
        expired.add("fullchain.pem", pair.chain, "certificate")
        expired.add("privkey.pem", pair.key, "key")
        expired.publish(CertificateFacts.of("small", pair))
        words = ("--set", expired.key.set_id, "--in-place", "--confirm", "tls")
        reported = run("certificate", "restore", *words, code=1)["error"]["sentence"]
        assert "was not put in place" in reported and output in reported
        expired.withdraw()
    assert scene.shown().fingerprint == before.fingerprint
    [beside] = run(*back)["result"]["restored"]
    folder = scene.small.directory / "run/restored-certificates" / beside["name"]
    pair = Pair((folder / "fullchain.pem").read_bytes(), (folder / "privkey.pem").read_bytes())
    require_whole(pair)
    assert pair.fingerprint == before.fingerprint
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert "PRIVATE" not in capsys.readouterr().err


def test_what_an_authority_does_wrong_keeps_the_old_certificate(scene: Scene) -> None:
    before, there = scene.shown(), pairs(scene)
    other, _ = self_signed(("other.example.test",))
    refused = scene.renewed(names=(BLOCKED,))
    with socket.create_server(("127.0.0.1", 0)) as silence:
        url = f"https://127.0.0.1:{silence.getsockname()[1]}/dir"
        stalled = scene.renewed(force=True, directory=url, issue_seconds=1)
    with swapping(scene.authority, other) as swaps:
        swapped = scene.renewed(force=True, directory=swaps.directory)
    stranger = scene.renewed(force=True, ca_bundle="")
    own = scene.renewed(names=("other.example.test",), method="self-signed")
    challenges = scene.small.directory / "run/nginx/acme"
    challenges.chmod(0o700)
    unserved = scene.renewed(force=True)
    challenges.chmod(0o755)
    for made, output in (
        (refused, "refuses.*policy"),
        (stalled, "did not answer in time"),
        (swapped, "it is for other.example.test, not for kecp.example.test"),
        (stranger, "ca_bundle"),
        (own, "was issued by Pebble.*and is valid, and a self-signed one would take its place"),
        (unserved, "does not give the authority's file.*403"),
    ):
        assert re.search(output, made.sentence), made.sentence
        assert not made.urgent
    assert list(challenges.rglob("*")) == [challenges / ".well-known", challenges / ".well-known/acme-challenge"]
    assert (scene.shown().fingerprint, pairs(scene)) == (before.fingerprint, there)


def test_a_failed_renewal_is_told_when_few_days_are_left(scene: Scene) -> None:
    found = scene.source().front.found()
    assert found is not None
    for days, urgent in ((25, False), (20, True), (-1, True)):
        at = found.pair.ends - timedelta(days=days)
        made = scene.renewed(at=at, names=NAMES, directory="https://127.0.0.1:9/dir")
        assert (made.problem is not None, made.urgent) == (True, urgent)
        run = RenewalRun(scene.source(), "test", renewed=made)
        assert bool(run.problem()) == urgent
    scene.installed(short := made_pair(days=20.5, since=70))
    made = scene.renewed(method="self-signed")
    assert "20 days left" in made.why and made.problem is None, made.sentence
    assert made.pair is not None and made.pair.fingerprint == scene.shown().fingerprint != short.fingerprint


def test_of_one_that_lives_shortly_the_last_third_is_for_renewing() -> None:
    pair, settings = made_pair(days=6), CertificateSettings(platform="small", store="nightly", names=NAMES)
    shown = Shown(pair, Held(pair.chain, pair.key))
    assert not due(shown, settings, datetime.now(UTC) + timedelta(days=3.9))
    assert due(shown, settings, datetime.now(UTC) + timedelta(days=4.1)) == "it has 2 days left"
    assert due(Shown(made_pair(days=29, since=61), shown.held), settings, datetime.now(UTC)) == "it has 29 days left"


def test_a_wrong_clock_installs_nothing(scene: Scene, tmp_path: Path) -> None:
    """And orders nothing. What a clock made that was ahead is of no use to anybody, and is renewed."""
    scene.installed(before := made_pair(days=300))
    for year, method, output in (
        (2020, "acme", "Nothing was ordered"),
        (2060, "acme", "Nothing was ordered"),
        (2020, "self-signed", "set the clock"),
        (2060, "self-signed", "long ago"),
    ):
        made = scene.renewed(at=datetime(year, 1, 1, tzinfo=UTC), method=method)
        assert made.problem and output in str(made.problem) and "clock" in str(made.problem), made.sentence
    over = made_pair(days=-1, since=9, more=["localhost"])
    (tmp_path / "over.pem").write_bytes(over.chain)
    with showing(tmp_path, over) as port:
        at = f"https://localhost:{port}/dir"
        made = scene.renewed(force=True, directory=at, ca_bundle=str(tmp_path / "over.pem"))
        assert "is not valid at the time it is here: set the clock" in made.sentence, made.sentence
    assert scene.shown().fingerprint == before.fingerprint
    scene.installed(made_pair(days=13_000, since=-12_500))
    made = scene.renewed(method="self-signed")
    assert "is valid from" in made.why and made.problem is None and scene.shown().begins < datetime.now(UTC)


def test_what_nginx_refuses_or_does_not_take_over_is_not_shown(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind `previous` stays what it was. Who does not answer, and what is no answer, is called so."""
    before, source = scene.shown(), scene.source()
    there = source.front.volume.read()
    with pytest.raises(OperationFailed, match=r"nginx refuses the certificate.*too small"):
        scene.installed(weak_pair(), "weak")
    with pytest.raises(OperationFailed, match="docker run") as raised:
        replace(source.front.volume, image="127.0.0.1:9/none:1").tried("weak", scene.small.platform().site)
    assert "refuses the certificate" not in str(raised.value)

    (nginx,) = scene.small.containers()["nginx"]
    monkeypatch.setattr("engine.sources.certificates.front._RELOAD_SECONDS", 2.0)
    monkeypatch.setattr("engine.sources.certificates.front._HANDSHAKE_SECONDS", 1.0)
    subprocess.run(["docker", "pause", nginx.id], check=True, capture_output=True)
    try:
        with pytest.raises(OperationFailed, match=r"did not take over.*is not seen either"):
            scene.installed(Pair(*self_signed(NAMES)), "unseen")
        found = source.front.settle(silent)
        assert "It does not answer in TLS" in source.front.unsettled
    finally:
        subprocess.run(["docker", "unpause", nginx.id], check=True, capture_output=True)
    assert found is not None and found.pair.fingerprint == before.fingerprint == scene.shown().fingerprint
    assert there is not None and (found.held.live, found.held.previous) == (there.live, there.previous)
    assert {*found.held.spare} >= {"weak", "unseen"}


def test_what_was_issued_and_could_not_be_installed_waits_beside(scene: Scene) -> None:
    """The next run installs it and asks no authority. The trial sees what else is in the volume."""
    tls = scene.small.directory / "run/nginx/live/tls.conf"
    text = tls.read_text(encoding="utf8")
    tls.write_text(f"{text}\nssl_trusted_certificate /etc/nginx/ssl/own-ca.pem;\n", encoding="utf8")
    try:
        before, name = scene.shown(), NAMES[:1]
        made = scene.renewed(names=name, contact="ops@example.test")
        assert made.problem is not None and "own-ca.pem" in str(made.problem)
        assert scene.shown().fingerprint == before.fingerprint
        volume = scene.source().front.volume
        own = ("docker", "run", "--rm", "--interactive", "--volume", f"{volume.volume}:/ssl", "--entrypoint", "sh")
        script = "cat >/ssl/own-ca.pem"
        subprocess.run([*own, volume.image, "-c", script], input=self_signed(("ca.test",))[0], check=True)
        made = scene.renewed(names=name, directory="https://127.0.0.1:9/dir")
        assert made.problem is None and made.pair is not None, made.sentence
        assert scene.shown().fingerprint == made.pair.fingerprint and not made.pair.self_signed
    finally:
        tls.write_text(text, encoding="utf8")
    assert "Nothing is due" in scene.renewed(names=name).sentence
    assert len(pairs(scene)) == 2, "what nobody needs any more goes"


@pytest.mark.parametrize(("moment", "finished"), [("placed", False), ("switched", True), ("reload", True)])
def test_killed_while_it_installs(scene: Scene, moment: str, finished: bool) -> None:
    """The next run finishes or takes back; nginx would find a whole pair at every moment."""
    before = scene.shown()
    words = (moment, str(scene.small.directory), scene.small.project, *NAMES)
    argv = [sys.executable, "-m", "tests.engine.sources.certificates.killed_at", *words]
    assert subprocess.run(argv, capture_output=True).returncode == -signal.SIGKILL
    found = scene.source().front.found()
    assert found is not None
    require_whole(found.pair)
    made = scene.renewed(method="self-signed", names=found.pair.names)
    assert made.problem is None and made.pair is not None
    assert (made.pair.fingerprint != before.fingerprint) == finished
    assert scene.shown().fingerprint == made.pair.fingerprint
    assert len(pairs(scene)) <= 2


def test_an_operator_s_own_files_become_a_pair_and_stay_beside(scene: Scene, tmp_path: Path) -> None:
    """Also those that no nginx takes: a renewal replaces them. Here the platform's host is reached over SSH."""
    chain, key = self_signed(("by.hand.example.test",))
    volume = scene.source().front.volume
    scene.put_by_hand(fullchain=chain, privkey=made_pair().key)
    front = scene.source().front
    foreign = front.settle(silent)
    assert not front.unsettled, "nginx was not asked to read them"
    assert due(foreign, scene.source().settings, datetime.now(UTC)) == "its private key is another's"
    scene.put_by_hand(fullchain=b"hello")
    made = scene.renewed(method="self-signed")
    assert made.problem is None and "its private key is none" in made.why, made.sentence
    assert made.pair is not None and scene.shown().fingerprint == made.pair.fingerprint
    held = volume.read()
    assert held is not None and volume.pair(held.previous) == (b"hello", b"")
    scene.put_by_hand(fullchain=chain, privkey=key)
    with running_sshd(tmp_path / "sshd") as sshd:
        away = replace(scene, small=replace(scene.small, host=sshd.settings))
        made = away.renewed()
        assert made.problem is None and set(away.shown().names) == set(NAMES)
        close_hosts()
    held = volume.read()
    assert held is not None and held.previous.startswith("before-") and not held.plain
    found = Pair(*volume.pair(held.previous))
    assert found.names == ("by.hand.example.test",)
    require_whole(found)


def test_the_flow_renews_stores_and_says_what_is_due(scene: Scene, prefect_server: str) -> None:
    settings = scene.source().settings
    source_block(CERTIFICATES).of(settings).save("tls", overwrite=True)
    Platform.of(scene.small.settings).save("small", overwrite=True)
    BackupStore.of(FolderStore(path=str(scene.store))).save("nightly", overwrite=True)
    scene.installed(short := made_pair(days=10, since=80))
    state = certificate_renew("tls", return_state=True)
    assert state.is_completed(), state.message
    assert re.match("Renewed, since no authority has issued it: .*stored in nightly", str(state.message)), state.message
    renewed, stored = scene.shown(), max(one.key.set_id for one in catalogue(scene.repository(), "tls").sets)
    assert renewed.fingerprint != short.fingerprint
    wrong = {"directory": "https://127.0.0.1:9/dir", "names": ("another.example.test",)}
    source_block(CERTIFICATES).of(settings.model_copy(update=wrong)).save("tls", overwrite=True)
    state = certificate_renew("tls", return_state=True)
    assert state.is_completed() and "cannot be reached" in str(state.message), state.message
    scene.installed(made_pair(days=10, since=80))
    state = certificate_renew("tls", return_state=True)
    assert state.is_failed() and "has 10 days left" in str(state.message), state.message
    source_block(CERTIFICATES).of(settings).save("tls", overwrite=True)
    state = restore_certificate("tls", which=stored, in_place=True, confirm=("tls",), return_state=True)
    assert state.is_completed(), state.message
    assert scene.shown().fingerprint == renewed.fingerprint
