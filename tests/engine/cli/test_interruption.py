"""A signal is never lost, whatever the main thread is at."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

STARTS_THREADS = """
import threading
from engine.cli.interruption import Interrupted, ended_cleanly
try:
    with ended_cleanly():
        print("ready", flush=True)
        while True:
            threading.Thread(target=int).start()
except Interrupted as end:
    print(end.number)
"""


@pytest.mark.parametrize("_", range(12))
def test_while_a_thread_is_being_started(_: int) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTS_THREADS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        try:
            assert process.communicate(timeout=20)[0] == f"{signal.SIGINT.value}\n"
        finally:
            process.kill()
