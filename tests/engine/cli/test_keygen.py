"""keygen: a pair that fits, a file of the owner's alone, and never an overwritten one."""

from __future__ import annotations

import stat
from pathlib import Path

from pyrage import decrypt, encrypt, x25519

from engine.streams.unpack import parse_identities
from tests.engine.cli.site import Site


def test_the_pair_fits_and_only_the_public_half_is_shown(tmp_path: Path) -> None:
    answer = Site(tmp_path).run("keygen", "--output", "identity.txt", "--json")
    assert answer.code == 0, answer.stderr
    result = answer.document["result"]
    path = tmp_path / "identity.txt"
    assert result["identity_file"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (secret,) = parse_identities(path.read_text())
    assert secret not in answer.stdout + answer.stderr
    tagged = encrypt(b"orders", [x25519.Recipient.from_str(result["public_key"])])
    assert decrypt(tagged, [x25519.Identity.from_str(secret)]) == b"orders"


def test_the_text_says_what_to_write_where(tmp_path: Path) -> None:
    text = Site(tmp_path).run("keygen").stdout
    assert 'recipients = ["age1' in text
    assert f'identity = "file:{tmp_path}/platform-ops-identity.txt"' in text


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "identity.txt").write_text("the only key")
    answer = Site(tmp_path).run("keygen", "--output", "identity.txt")
    assert answer.code == 2
    assert (tmp_path / "identity.txt").read_text() == "the only key"


def test_a_folder_that_is_not_there_is_exit_2(tmp_path: Path) -> None:
    answer = Site(tmp_path).run("keygen", "--output", "nowhere/identity.txt")
    assert (answer.code, answer.stdout) == (2, "")
    assert "cannot be written: there is no folder " in answer.problem
    assert "/nowhere; make it first" in answer.problem


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    answer = Site(tmp_path).run("keygen", "--output", "keys")
    assert answer.code == 2
    assert "/keys is a folder; give a file in it with --output, such as " in answer.problem
