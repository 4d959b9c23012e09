"""A process is itself by pid and start time; nothing else is ever signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from engine.hosts.processes import ProcessIdentity, arguments, running_pids

SLEEP = ["sleep", "60"]
TRUE = ["true"]
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


def identity_of(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    found = ProcessIdentity.of(process.pid)
    assert found is not None
    return found


def test_start_time_is_the_one_the_kernel_tells() -> None:
    me = ProcessIdentity.current()
    since_boot = psutil.Process().create_time() - psutil.boot_time()
    assert me.pid == os.getpid()
    assert me.started / os.sysconf("SC_CLK_TCK") == pytest.approx(since_boot, abs=1.5)


def test_a_name_with_brackets_and_spaces_is_read_rightly() -> None:
    code = 'open("/proc/self/comm", "w").write("a) R 1 (b"); print("ready", flush=True); input()'
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        before = identity_of(process)
        assert process.stdout is not None
        process.stdout.readline()
        assert ProcessIdentity.of(process.pid) == before
        process.communicate(b"\n")


def test_a_zombie_does_not_count_as_running() -> None:
    with subprocess.Popen(TRUE) as process:
        deadline = time.monotonic() + 10
        while ProcessIdentity.of(process.pid) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert process.returncode is None  # nobody has reaped it yet


def test_ends_on_sigterm() -> None:
    with subprocess.Popen(SLEEP) as process:
        assert identity_of(process).end(timeout=10) is True
        assert process.wait() == -signal.SIGTERM


def test_one_that_ignores_sigterm_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert identity_of(process).end(timeout=0.2) is True
        assert process.wait() == -signal.SIGKILL


def test_another_process_with_the_same_pid_is_left_alone() -> None:
    with subprocess.Popen(SLEEP) as process:
        real = identity_of(process)
        earlier = replace(real, started=real.started - 1)
        assert (earlier.alive(), earlier.end(timeout=0.1)) == (False, False)
        assert process.poll() is None
        real.end()


def test_one_that_is_gone() -> None:
    with subprocess.Popen(SLEEP) as process:
        identity = identity_of(process)
        process.kill()
    assert (identity.alive(), identity.wait(0), identity.end()) == (False, True, False)


def test_command_lines() -> None:
    with subprocess.Popen(SLEEP) as process:
        assert process.pid in running_pids()
        deadline = time.monotonic() + 10
        while not arguments(process.pid):  # for a moment after exec there is none
            assert time.monotonic() < deadline
        assert arguments(process.pid) == ("sleep", "60")
        process.kill()
    assert arguments(process.pid) == ()
