"""What editors and shells put around a secret is no part of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from engine.config.settings import StoreSettings
from engine.errors import ConfigurationError
from engine.repository.manifest import read_manifest
from engine.repository.repository import open_repository
from engine.secrets import resolve
from tests.engine.repository.made import a_key, store_set

SAVED = (b"k3y", b"k3y\n", b"k3y\r\n", b"k3y\r", b"\xef\xbb\xbfk3y", b"\xef\xbb\xbfk3y\r\n\r\n")


@pytest.mark.parametrize("saved", SAVED)
def test_a_secret_is_the_same_however_it_was_saved(
    saved: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_bytes(saved)
    monkeypatch.setenv("A_SECRET", saved.decode())
    assert (resolve(f"file:{tmp_path}/key"), resolve("env:A_SECRET")) == ("k3y", "k3y")


def test_what_is_inside_a_secret_stays(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b" k\r\n3y \n")
    assert resolve(f"file:{tmp_path}/key") == " k\r\n3y "


@pytest.mark.parametrize("saved", ["k3y".encode("utf-16"), b"\xfe\xff\0k\0" + b"3\0y"])
def test_utf_16_is_named_as_such(saved: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(saved)
    with pytest.raises(ConfigurationError, match="it is UTF-16, as some editors save; save it as UTF-8"):
        resolve(f"file:{tmp_path}/key")


def test_a_digest_key_with_a_line_end_calls_no_good_set_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows's side of a share, in a variable of a unit: the same key."""
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbfk3y\r\n")
    monkeypatch.setenv("A_SECRET", "k3y\n")
    opened = []
    for reference in (f"file:{tmp_path}/key", "env:A_SECRET"):
        settings = {"kind": "folder", "path": str(tmp_path / "store"), "digest_key": reference}
        opened.append(open_repository("nightly", TypeAdapter(StoreSettings).validate_python(settings)))
    key = store_set(opened[0].store, a_key("2026-02-07", "app"), digest_key="k3y")
    assert [read_manifest(one, key).key for one in opened] == [key, key]
