"""What operators get wrong: one clear sentence, the right exit code, no traceback, and nothing lost."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyrage import x25519

from engine.config import file
from engine.errors import ConfigurationError
from engine.repository import manifest
from engine.secrets import resolve
from engine.sources.postgres.programs.installed import client_programs
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.registry import load_settings
from tests.conftest import MAJOR
from tests.engine.cli.command import COMMAND, Answer
from tests.engine.cli.site import environment
from tests.engine.sources.postgres.backups import execute
from tests.engine.stores.conftest import StartServer
from tests.faults.answering import (
    answering,
    lenient_pooler,
    strict_pooler,
    tls_before,
    tls_server,
    web_server,
)
from tests.faults.conftest import DATABASE
from tests.faults.site import FaultSite, fault_site, sentences

CANARY = "canary-7c0ffee"
RECIPIENT = str(x25519.Identity.generate().to_public())


@dataclass(frozen=True)
class Case:
    """Settings that are wrong, what is asked for, and the answer. `{folder}` is the site's own. `host` is what the
    server runs on, where that is not this machine."""

    name: str
    code: int
    message: str
    server: Mapping[str, Any] = field(default_factory=dict)
    store: Mapping[str, Any] = field(default_factory=dict)
    host: Mapping[str, Any] = field(default_factory=dict)
    requested: tuple[str, ...] = ("backup", "--database", DATABASE)


def _password(file: str) -> dict[str, str]:
    return {"password": f"file:{{folder}}/{file}"}


SERVER = [
    Case("unreachable host", 1, r"platform \(127\.0\.0\.1:1\) does not answer: .*Connection refused", {"host": "127.0.0.1", "port": 1}),
    Case("no such host", 1, r"does not answer: .*failed to resolve host 'no-such-host\.invalid'", {"host": "no-such-host.invalid"}),
    Case("no such socket", 1, r"does not answer: .*No such file or directory; check that it runs", {"host": "/nowhere"}),
    Case("unknown role", 2, r"refuses user 'nobody-knows': .*role \"nobody-knows\" does not exist; correct \[servers\.platform\]", {"user": "nobody-knows"}),
    Case("a role that may read nothing", 2, r"role 'weak' may read none of the \d tables of database 'app': grant it SELECT .*, give a superuser", {"user": "weak"}),
    Case("unknown maintenance database", 2, r"database \"nope\" does not exist; correct", {"maintenance_database": "nope"}),
    Case("unknown database", 2, r"has no database 'nope'; it has: app, postgres, template1", requested=("backup", "--database", "nope")),
    Case("TLS asked of programs without it", 2, r"sslmode 'verify-full' and the programs in .* were built without TLS; install", {"sslmode": "verify-full"}),
    Case("no programs in the folder", 2, r"tools folder /nowhere lacks a working pg_dump", {"tools": "/nowhere"}),
    Case("no container engine", 1, r"/nowhere\.sock", host={"where": "container:db", "docker_host": "unix:///nowhere.sock"}),
    Case("an SSH host that is down", 1, r"127\.0\.0\.1:1\b", host={"where": "ssh:somebody@127.0.0.1:1"}),
    Case("no such SSH place", 2, r"hosts\.elsewhere\.where: ", host={"where": "ssh:-oProxyCommand=x@h"}),
    Case("an unknown host", 2, r"platform runs on the host 'nowhere'; there are: local\.", {"runs_on": "nowhere"}),
]  # fmt: skip
SECRETS = [
    Case("no such secret file", 2, r"file:/.*/none cannot be read on this host: No such file", _password("none")),
    Case("a secret that is a folder", 2, r"cannot be read on this host: Is a directory", {"password": "file:/"}),
    Case("an empty secret", 2, r"The secret file:/.*/empty is empty; put the secret there", _password("empty")),
    Case("a secret with a NUL", 2, r"The secret file:/.*/nul holds a NUL byte", _password("nul")),
    Case("a secret that is no text", 2, r"it is UTF-16", _password("bytes")),
    Case("a secret variable that is not set", 2, r"env:NOT_SET_HERE is not set on this host; export", {"password": "env:NOT_SET_HERE"}),
    Case("a secret instead of a reference", 2, r"servers\.platform\.password: a secret is given by reference", {"password": CANARY}),
    Case("a secret of Prefect in a shell", 2, r"can only be read inside a Prefect run", {"password": "prefect:block"}),
    Case("an empty digest key", 2, r"empty is empty", store={"digest_key": "file:{folder}/empty"}),
]  # fmt: skip
CONFIGURATION = [
    Case("an unknown kind to be overdue", 2, r"servers\.platform\.max_age_hours names the kind 'clutser'; there may be: cluster\.", {"max_age_hours.clutser": 26}),
    Case("an unknown kind to keep", 2, r"stores\.nightly\.retention names the kind 'database'; there are: cluster, db, realm, volume, certificate, image, blob\.", store={"retention.database.days": 7}),
    Case("a typing mistake", 2, r"servers\.platform\.prot: there is no such setting; correct its name", {"prot": 5432}),
    Case("an unknown store", 2, r"names the store 'nigthly'; there are: nightly", {"store": "nigthly"}),
    Case("a port that is none", 2, r"servers\.platform\.port: .*less than or equal to 65535", {"port": 70000}),
    Case("an unknown source", 2, r"no source 'platfrom' in the configuration; there are: platform", requested=("backup", "--source", "platfrom")),
    Case("a hostile source name", 2, r"is not a name of a source", requested=("list", "--store", "nightly", "--source", "../x")),
    Case("no such configuration", 2, r"none\.toml cannot be read: No such file.*--config", requested=("list", "--config", "none.toml")),
    Case("an unknown recipient", 2, r"recipients has 'age1nobody', which is no age public key", store={"recipients": ["age1nobody"]}),
    Case("a private key among the recipients", 2, r"recipients has an entry, which is no age public key", store={"recipients": [f"AGE-SECRET-KEY-1{CANARY}"]}),
]  # fmt: skip
STORES = [
    Case("an empty path", 2, r"stores\.nightly\.path: ", store={"path": ""}),
    Case("nobody's home", 2, r"no user whose home ~nobody-knows", store={"path": "~nobody-knows/x"}),
    Case("a relative path to nowhere", 2, r"at /.*/rel/store is not there; mount its disk or create", store={"path": "rel/store"}),
    Case("a folder that is not mounted", 2, r"at /nowhere/deep/store is not there; mount its disk", store={"path": "/nowhere/deep/store"}),
    Case("a mount point by half its path", 2, r"stores\.nightly\.mount: give the whole path", store={"mount": "srv"}),
    Case("a mount point beside the path", 2, r"stores\.nightly\.mount: the store's path does not lie in it", store={"mount": "/srv"}),
    Case("a folder where no disk is mounted", 2, r"The disk of store 'nightly' is not mounted at /.*; mount it", store={"mount": "{folder}"}),
    Case("a file where the folder should be", 2, r"a file is in its way; correct its path", store={"path": "{folder}/empty"}),
    Case("a file above the folder", 2, r"a file is in its way; correct its path", store={"path": "{folder}/empty/store"}),
    Case("list of a file", 2, r"a file is in its way", store={"path": "{folder}/empty"}, requested=("list",)),
    Case("nothing to verify", 3, r"Nothing was verified: there is no set in /.*/new; look at", requested=("verify",), store={"path": "{folder}/new"}),
    Case("a budget that is no number", 2, r"--budget-gib nan is no amount", requested=("verify", "--budget-gib", "nan")),
    Case("hours that are no number", 2, r"--max-hours nan is no time", requested=("check", "--max-hours", "nan")),
    Case("hours without end", 2, r"'--max-hours': inf is not in the range", requested=("check", "--max-hours", "inf")),
    Case("no set of that name to verify", 2, r"There is no set of database 'nope' in /.*/store; `list`", requested=("verify", "--database", "nope")),
    Case("a budget without end", 2, r"'--budget-gib': inf is not in the range", requested=("verify", "--budget-gib", "inf")),
    Case("no set to drill", 1, r"There is no set of the cluster of platform in", requested=("drill",), store={"path": "{folder}/new"}),
    Case("no set to restore", 2, r"has no database of platform to restore", requested=("restore", "--all"), store={"path": "{folder}/new"}),
    Case("an unknown set", 2, r"`list` shows those that are stored", requested=("show", "20200101T000000Z-abcd1234")),
]  # fmt: skip


@pytest.fixture(scope="module")
def stored(fault_server: Instance, tmp_path_factory: pytest.TempPathFactory) -> FaultSite:
    """A site with one backup that nothing in this module may spoil."""
    site = fault_site(tmp_path_factory.mktemp("bad-input"), fault_server)
    for name, data in (("empty", b""), ("nul", b"a\0b\n"), ("bytes", b"\xff\xfe")):
        (site.folder / name).write_bytes(data)
        (site.folder / name).chmod(0o600)
    answer = site.run("backup", "--database", DATABASE)
    assert answer.code == 0, answer.stderr
    return site


def _filled(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {
        key: value.replace("{folder}", str(folder)) if isinstance(value, str) else value
        for key, value in settings.items()
    }


def _refused(site: FaultSite, case: Case) -> Answer:
    """Run it: one sentence, the exit code, no traceback, no secret, and the store as it was."""
    before = _contents(site.store)
    site.write(_filled(case.server, site.folder), _filled(case.store, site.folder), case.host)
    answer = site.run(*case.requested)
    print(f"{case.name}: exit {answer.code}: {answer.problem}")  # noqa: T201 - what people read
    assert answer.code == case.code, answer.stderr
    [sentence] = sentences(answer)
    assert re.search(case.message, sentence), sentence
    assert sentence == answer.problem
    assert sentence.endswith((".", "?"))
    assert "unexpected error" not in sentence
    assert "Traceback" not in answer.stderr
    assert CANARY not in answer.stdout + answer.stderr
    assert _contents(site.store) == before
    return answer


def _contents(store: Path) -> dict[str, bytes]:
    """Every file of a set."""
    files = (path for path in store.rglob("*") if path.is_file() and not {"leases", "verdicts"} & {*path.parts})
    return {str(path.relative_to(store)): path.read_bytes() for path in files}


@pytest.mark.parametrize("case", SERVER + SECRETS + CONFIGURATION + STORES, ids=lambda case: case.name)
def test_one_sentence(case: Case, stored: FaultSite, fault_server: Instance) -> None:
    if case.server.get("user") == "weak":
        _weak_role(fault_server)
    _refused(stored, case)


def _weak_role(server: Instance) -> None:
    execute(server, "postgres", "DROP ROLE IF EXISTS weak", "CREATE ROLE weak LOGIN")


ONE_PLACE = {
    "a folder": ({"path": "{folder}/store"}, {"path": "{folder}/./store/"}),
    "a folder and a link to it": ({"path": "{folder}/store"}, {"path": "{folder}/link"}),
    "a bucket": ({"bucket": "b", "prefix": "kecp"}, {"bucket": "b", "prefix": "/kecp/"}),
}


@pytest.mark.parametrize("places", ONE_PLACE.values(), ids=ONE_PLACE.keys())
def test_two_stores_that_are_one_place(stored: FaultSite, places: tuple[Mapping[str, str], Mapping[str, str]]) -> None:
    link = stored.folder / "link"
    if not link.is_symlink():
        link.symlink_to(stored.store)
    kinds = [{"kind": "s3" if "bucket" in place else "folder", **_filled(place, stored.folder)} for place in places]
    names = dict(zip(("nightly", "offsite"), kinds, strict=True))
    site = FaultSite(stored.folder, {**stored.server, "copies": ["offsite"]}, names)
    site.write({}, {})
    answer = site.run("list")
    assert answer.code == 2, answer.stderr
    assert sentences(answer) == [
        f"platformctl: {site.config.name}: the stores 'nightly' and 'offsite' of platform are one and the same "
        "place; each copy goes to a place of its own."
    ]
    site.write({"copies": []}, {})
    assert load_settings(site.config).stores.keys() == names.keys()


TALKS = {
    "a web server": (web_server, r"What answers at platform \(127\.0\.0\.1:\d+\) is no PostgreSQL server; correct host and port"),
    "a pooler": (strict_pooler, r"is a connection pooler; give the host and port of the PostgreSQL server itself"),
}  # fmt: skip


@pytest.mark.parametrize("sslmode", ["prefer", "disable"])
@pytest.mark.parametrize("name", TALKS)
def test_what_answers_is_not_the_server(name: str, sslmode: str, stored: FaultSite) -> None:
    talk, message = TALKS[name]
    with answering(talk) as port:
        server = {"host": "127.0.0.1", "port": port, "sslmode": sslmode}
        _refused(stored, Case(name, 2, message, server))


def test_a_pooler_that_hides_itself(stored: FaultSite, fault_server: Instance) -> None:
    path = f"{fault_server.socket}/.s.PGSQL.{fault_server.port}"
    with answering(lenient_pooler(path)) as port:
        server = {"host": "127.0.0.1", "port": port, "sslmode": "disable"}
        _refused(stored, Case("a lenient pooler", 2, r"is a connection pooler; give the host", server))


@pytest.mark.parametrize(
    ("days", "own_root", "message"),
    [
        (
            -1,
            True,
            r"No TLS connection to platform .*certificate verify failed; correct sslmode and sslrootcert",
        ),
        (30, False, r"No TLS connection to platform .*root certificate file .* does not exist; correct"),
    ],
    ids=["expired", "no root certificate"],
)
def test_a_certificate_that_is_not_accepted(
    days: int, own_root: bool, message: str, stored: FaultSite, tmp_path: Path
) -> None:
    with answering(tls_server(tmp_path, timedelta(days=days))) as port:
        root = str(tmp_path / "server.pem") if own_root else "/nowhere.pem"
        server = {"host": "127.0.0.1", "port": port, "sslmode": "verify-full", "sslrootcert": root}
        _refused(stored, Case("certificate", 2, message, server))


def test_tls_that_the_programs_would_silently_go_without(
    stored: FaultSite, fault_server: Instance, tmp_path: Path
) -> None:
    """Our own sessions are encrypted, pg_dump's would not be: it is asked for, or nothing is read."""
    path = f"{fault_server.socket}/.s.PGSQL.{fault_server.port}"
    tools = str(client_programs(MAJOR))
    with answering(tls_before(path, tmp_path)) as port:
        server = {"host": "127.0.0.1", "port": port, "user": fault_server.superuser, "tools": tools}
        message = r"sslmode 'prefer' and the programs in .* were built without TLS, so data would cross the network in"
        for requested in (("backup",), ("restore", "--database", DATABASE)):
            _refused(stored, Case("in the clear", 2, message, server, requested=requested))
        stored.write({**server, "sslmode": "disable"}, {})
        answer = stored.run("backup", "--database", DATABASE)
        assert answer.code == 0, answer.stderr


def test_a_server_too_new_for_the_programs(stored: FaultSite) -> None:
    with scratch_server(18) as newer:
        server = {"host": str(newer.socket), "port": newer.port, "tools": str(client_programs(MAJOR))}
        message = rf"has PostgreSQL {MAJOR}\.\d+, which is too old for a server of major 18; install its newest client"
        _refused(stored, Case("too new", 2, message, server, requested=("backup",)))


def test_a_wrong_password(stored: FaultSite, password_server: Instance) -> None:
    secret = stored.folder / "wrong"
    secret.write_text(f"{CANARY}\n")
    secret.chmod(0o600)
    server = {"host": "127.0.0.1", "port": password_server.port, "password": f"file:{secret}"}
    message = r"refuses user 'postgres': .*password authentication failed for user \"postgres\"; correct"
    _refused(stored, Case("wrong password", 2, message, server))


def test_a_secret_that_others_may_read_is_said(stored: FaultSite) -> None:
    secret = stored.folder / "open"
    secret.write_text("anything\n")
    secret.chmod(0o644)
    stored.write({"password": f"file:{secret}"}, {})
    answer = stored.run("backup", "--database", DATABASE)
    assert answer.code == 0, answer.stderr
    warning = f"Every user of this host may read the secret file:{secret}; chmod 600 it."
    assert answer.stderr.splitlines().count(warning) == 1
    secret.chmod(0o600)
    assert warning not in stored.run("list").stderr


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything."""
    own = os.geteuid()
    os.seteuid(own or 65534)
    try:
        yield
    finally:
        os.seteuid(own)


def test_a_secret_that_this_user_may_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "closed"
    secret.touch(mode=0)
    message = r"closed is not to be read by this user: permission denied;"
    with ordinary_user(), pytest.raises(ConfigurationError, match=message):
        resolve(f"file:{secret}")


def test_a_configuration_in_a_folder_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    monkeypatch.setattr(file, "SYSTEM", closed / "platform-ops.toml")
    monkeypatch.delenv(file.VARIABLE, raising=False)
    message = r"closed/platform-ops.toml cannot be read: Permission denied; give a readable one"
    with ordinary_user(), pytest.raises(ConfigurationError, match=message):
        load_settings()


@pytest.fixture(scope="module")
def encrypted(fault_server: Instance, tmp_path_factory: pytest.TempPathFactory) -> FaultSite:
    """A site with one encrypted backup."""
    site = fault_site(tmp_path_factory.mktemp("encrypted"), fault_server)
    files = {
        "stranger": f"{x25519.Identity.generate()}\n",
        "public": f"{RECIPIENT}\n",
        "prose": f"{CANARY}\n",
    }
    for name, text in files.items():
        (site.folder / name).write_text(text)
        (site.folder / name).chmod(0o600)
    site.write({}, {"recipients": [RECIPIENT]})
    assert site.run("backup", "--database", DATABASE).code == 0
    return site


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (None, r"is encrypted and \[stores\.nightly\] has no identity; give identity = "),
        ("stranger", r"The private key of \[stores\.nightly\] does not open platform/db/app/"),
        ("public", r"is no file of age private keys"),
        ("prose", r"is no file of age private keys"),
        ("none", r"none cannot be read on this host"),
    ],
)
def test_a_wrong_key(identity: str | None, message: str, encrypted: FaultSite) -> None:
    reference = identity and f"file:{encrypted.folder / identity}"
    encrypted.write({}, {"recipients": [RECIPIENT], "identity": reference})
    before = _contents(encrypted.store)
    for command in ("drill", "restore") if identity == "stranger" else ("drill",):
        answer = encrypted.run(command, "--database", DATABASE)
        [sentence] = sentences(answer)
        assert answer.code == 3, sentence
        assert re.search(message, sentence), sentence
        assert CANARY not in answer.stderr + answer.stdout
    assert _contents(encrypted.store) == before


Forge = Callable[[dict[str, Any]], None]


def _outside(body: dict[str, Any]) -> None:
    body["files"][0]["name"] = "../../../../etc/cron.d/x"


def _other_set(body: dict[str, Any]) -> None:
    body["name"] = "postgres"


FORGED: dict[str, tuple[Forge, str]] = {
    "a name with ../": (_outside, r"is not valid at 'files\.0\.name': .*plain path segment; use another set"),
    "another set's": (_other_set, r"is the manifest of another set; do not trust this set, use another"),
}


@pytest.mark.parametrize("command", ["verify", "restore"])
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_manifest(name: str, command: str, stored: FaultSite, tmp_path: Path) -> None:
    forge, message = FORGED[name]
    answer = _of_manifest(stored, tmp_path, command, lambda data: _forged(data, forge))
    assert answer.code == 1, answer.stderr
    assert re.search(message, answer.problem), answer.problem


@pytest.mark.parametrize("command", ["show", "restore"])
def test_a_manifest_of_a_newer_version(command: str, stored: FaultSite, tmp_path: Path) -> None:
    answer = _of_manifest(stored, tmp_path, command, lambda data: data.replace(b'"schema": 1', b'"schema": 2'))
    assert answer.code == 3, answer.stderr
    assert "has manifest schema 2; this version reads 1: use the version that wrote it" in answer.problem


def _of_manifest(stored: FaultSite, folder: Path, command: str, edit: Callable[[bytes], bytes]) -> Answer:
    """What a command says of the newest set once its manifest was edited, in a copy of the store."""
    shutil.copytree(stored.store, folder / "store")
    stored.write({}, {"path": str(folder / "store")})
    path = max((folder / "store").rglob("db/app/*/manifest.json"))
    path.write_bytes(edit(path.read_bytes()))
    requested = (command,) if command == "restore" else (command, "newest")
    return stored.run(*requested, "--database", DATABASE)


def _forged(data: bytes, forge: Forge) -> bytes:
    """By somebody who knows how the digest is made."""
    document = json.loads(data)
    forge(document["body"])
    document["digest"] = manifest._digest(document["body"], None)
    return json.dumps(document).encode()


S3 = [
    Case("no such bucket", 2, r"there is no bucket for store 'nightly' \(s3://no-such-bucket\).*create or correct it", store={"bucket": "no-such-bucket"}),
    Case("a bucket's name that is none", 2, r"check bucket, region, endpoint_url", store={"bucket": "a/B c"}),
    Case("an address that is none", 2, r"is not an address such as https://", store={"endpoint_url": f"u:{CANARY}@127.0.0.1"}),
    Case("TLS where there is none", 2, r"the TLS certificate of store 'nightly' .* was not accepted", store={"endpoint_url": "{tls}"}),
    Case("nobody there", 1, r"cannot be reached; check that it runs and that endpoint_url is right", store={"endpoint_url": "http://127.0.0.1:1"}),
    Case("half of the keys", 2, r"has only one of access_key and secret_key; give both", store={"secret_key": None}),
    Case("an empty key", 2, r"env:EMPTY is empty", store={"access_key": "env:EMPTY"}),
    Case("what does not speak S3", 1, r"answered 400 without a word of S3; check endpoint_url", store={"endpoint_url": "{web}"}),
]  # fmt: skip


@pytest.mark.parametrize("case", S3, ids=lambda case: case.name)
def test_a_bucket_that_cannot_be_used(case: Case, stored: FaultSite, start_server: StartServer) -> None:
    variables = {"KEY": "tester", "SECRET": CANARY, "EMPTY": ""}
    with ExitStack() as stack:
        addresses = {
            "{tls}": lambda: f"https://127.0.0.1:{stack.enter_context(answering(web_server))}",
            "{web}": lambda: f"http://127.0.0.1:{stack.enter_context(answering(web_server))}",
        }
        url = case.store.get("endpoint_url", "")
        address = addresses[url]() if url in addresses else url
        settings = {
            "kind": "s3", "path": None, "bucket": "backups", "region": "us-east-1",
            "access_key": "env:KEY", "secret_key": "env:SECRET", "endpoint_url": start_server("moto").url,
        }  # fmt: skip
        changed = {**case.store, **({"endpoint_url": address} if address else {})}
        site = FaultSite(stored.folder, stored.server, stored.stores, variables)
        _refused(site, Case(case.name, case.code, case.message, store={**settings, **changed}))


def test_libpq_s_variables_lead_nowhere_else(stored: FaultSite) -> None:
    """What an operator's shell has set for psql must not put another server's data into the sets."""
    odd = {
        "PGHOST": "elsewhere", "PGHOSTADDR": "127.0.0.9", "PGPORT": "1", "PGUSER": "somebody", "PGSSLMODE": "verify-full",
        "PGDATABASE": "other", "PGOPTIONS": "-c x=y", "PGTARGETSESSIONATTRS": "standby", "PGCLIENTENCODING": "LATIN1",
        "PGSERVICE": "elsewhere", "PGREQUIREAUTH": "gss", "PGCHANNELBINDING": "require", "PGGSSENCMODE": "require",
        "PGSSLNEGOTIATION": "direct", "PGTZ": "Asia/Seoul", "PGDATESTYLE": "German", "PGGEQO": "off", "PGPASSWORD": "x",
        "PGREQUIREPEER": "nobody-like-this", "PGMAXPROTOCOLVERSION": "1.0", "PGLOADBALANCEHOSTS": "odd",
    }  # fmt: skip
    site = FaultSite(stored.folder, stored.server, stored.stores, odd)
    site.write({}, {})
    for command in (("backup", "--database", DATABASE), ("drill", "--database", DATABASE)):
        answer = site.run(*command)
        assert answer.code == 0, answer.stderr


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_standard_stream_that_is_closed(redirection: str, stored: FaultSite) -> None:
    stored.write({}, {})
    assert _in_a_shell(stored, redirection).returncode == 0


def test_a_result_that_cannot_be_written(stored: FaultSite) -> None:
    stored.write({}, {})
    done = _in_a_shell(stored, ">/dev/full")
    assert (done.returncode, done.stderr.decode()) == (
        1,
        "platformctl: The result cannot be written to stdout: No space left on device; what it tells of is done.\n",
    )


def _in_a_shell(site: FaultSite, redirection: str) -> subprocess.CompletedProcess[bytes]:
    line = f"{shlex.join([*COMMAND, 'list'])} {redirection}"
    return subprocess.run(["sh", "-c", line], cwd=site.folder, env=environment(), stderr=subprocess.PIPE, check=False)
