"""Streaming to and from S3 takes a few parts of memory, however long the stream is."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.engine.stores.buckets import S3Bucket

STREAMER = """
import json, resource, sys
from engine.stores.settings import S3Settings
from engine.stores.opening import open_store

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

store = open_store("nightly", S3Settings.model_validate_json(sys.argv[1]))
store.create("warm/up", b"1")
chunk, peaks = bytes(2**20), [peak_mib()]
with store.writer("large") as out:
    for _ in range(300):
        out.write(chunk)
peaks.append(peak_mib())
total = 0
with store.reader("large") as source:
    while data := source.read(2**20):
        total += len(data)
peaks.append(peak_mib())
print(json.dumps({"total": total, "peaks": peaks}))
"""

SEVERAL = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from engine.stores.settings import S3Settings
from engine.stores.opening import open_store

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

store = open_store("nightly", S3Settings.model_validate_json(sys.argv[1]))
store.create("warm/up", b"1")
chunk, before = bytes(2**20), peak_mib()

def write(number):
    with store.writer(f"large-{number}") as out:
        for _ in range(100):
            out.write(chunk)

with ThreadPoolExecutor(4) as pool:
    list(pool.map(write, range(4)))
print(peak_mib() - before)
"""


def test_several_files_at_once_share_what_is_in_flight(moto: S3Bucket) -> None:
    """Four parts of 8 MiB in flight together, one of each file being filled; each alone would take four."""
    argv = [sys.executable, "-c", SEVERAL, moto.settings(part_size_mib=8).model_dump_json()]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120)
    assert float(done.stdout) < 130, done.stdout


def test_300_mib_each_way_stay_below_80_mib(moto: S3Bucket) -> None:
    argv = [sys.executable, "-c", STREAMER, moto.settings(part_size_mib=8).model_dump_json()]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120)
    result = json.loads(done.stdout)
    assert result["total"] == 300 * 2**20
    before, written, read = result["peaks"]
    assert written - before < 80  # four parts of 8 MiB in flight, one being filled
    assert read - written < 10
