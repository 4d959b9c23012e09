"""What the far side is told works in each shell that may be `sh` there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.errors import ConfigurationError
from engine.hosts.lifeline import END, END_AND_LEAVE, TAKEN, environment_block, feed_argv, lifeline_argv
from engine.hosts.opening import open_host
from engine.hosts.remote_put import put_argv
from engine.hosts.settings import HostSettings
from tests.engine.hosts.parts import program

SHELLS = [("dash",), ("bash",), ("bash", "--posix"), ("busybox", "ash")]
DATA = os.urandom(100_000)


@pytest.fixture(params=SHELLS, ids=" ".join)
def shell(request: pytest.FixtureRequest) -> Sequence[str]:
    found: tuple[str, ...] = request.param
    return (program(found[0]), *found[1:])


def given(shell: Sequence[str], argv: Sequence[str], data: bytes, last: bytes) -> tuple[bytes, int]:
    """What a program makes of `data`, after `last` was said on its channel and that was closed."""
    with subprocess.Popen(
        [*shell, *lifeline_argv(argv, stdin=True)[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "THERE": "of the far side"},
    ) as running:
        assert running.stdin is not None and running.stdout is not None
        running.stdin.write(environment_block({"PATH": os.environ["PATH"], "GIVEN": "a 'b' $c", "THERE": None}))
        watcher, pipe = running.stdout.readline().decode().split()
        feed = subprocess.run(
            [*shell, *feed_argv(watcher, pipe)[1:]], input=data, stdout=subprocess.PIPE, check=True, timeout=20
        )
        assert feed.stdout == TAKEN
        running.stdin.write(last)
        if last != END:
            running.stdin.close()
        output = running.stdout.read()
        return output, running.wait(20)


def test_all_of_the_input_and_its_end(shell: Sequence[str]) -> None:
    script = ("sh", "-c", 'cat >/dev/null; printf "%s" "$GIVEN${THERE-}"; exit 3')
    assert given(shell, script, DATA, END) == (b"a 'b' $c", 3)
    assert given(shell, ("cat",), b"", END) == (b"", 0)


def test_a_channel_that_ends_ends_the_program_and_not_its_input(shell: Sequence[str]) -> None:
    assert given(shell, ("sh", "-c", "cat >/dev/null && echo whole"), DATA, b"") == (b"", -15)
    assert given(shell, ("sh", "-c", "cat >/dev/null && echo whole"), DATA, b"en") == (b"", -15)


def test_the_watcher_may_leave_with_its_last_word(shell: Sequence[str]) -> None:
    assert given(shell, ("sh", "-c", "cat >/dev/null; sleep 0.5; echo whole"), DATA, END_AND_LEAVE) == (b"whole\n", 0)


def test_a_file_is_placed(shell: Sequence[str], tmp_path: Path) -> None:
    path = tmp_path / "folder" / "it's $a file"
    path.parent.mkdir()
    argv = [*shell, *put_argv(str(path), 0o640)[1:]]
    done = subprocess.run(argv, input=DATA, capture_output=True, check=False)
    assert (done.returncode, path.read_bytes() == DATA) == (0, True), done.stderr
    assert path.stat().st_mode & 0o7777 == 0o640
    path.unlink()
    path.parent.rmdir()  # nothing else is in it
    assert subprocess.run(argv, input=DATA, capture_output=True, check=False).returncode == 1


def test_scripts_are_one_line_and_hold_no_secret() -> None:
    for argv in (
        lifeline_argv(("x",), stdin=True),
        lifeline_argv(("x",)),
        feed_argv("1", "pipe:[1]"),
        put_argv("/x", 0),
    ):
        assert "\n" not in " ".join(argv)
    with pytest.raises(ConfigurationError, match=r"^The value for SECRET holds a line break, "):
        environment_block({"SECRET": "a\nb"})


def test_one_host_for_equal_settings() -> None:
    assert open_host(HostSettings()) is open_host(HostSettings(where="local"))
    far = HostSettings(where="ssh:me@db1", ssh_key="env:KEY")
    assert open_host(far) is open_host(far.model_copy())
    assert open_host(far) is not open_host(HostSettings(where="ssh:me@db1"))
    assert str(open_host(far)) == "me@db1"


def test_settings_that_mean_nothing_are_refused() -> None:
    for wrong in ({"where": "docker:x"}, {"ssh_key": "the key itself"}, {"port": 22}):
        with pytest.raises(ValidationError):
            HostSettings.model_validate(wrong)
    assert "Where programs run" in str(HostSettings.model_fields["where"].description)
