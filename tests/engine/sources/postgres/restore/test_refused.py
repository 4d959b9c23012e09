"""Whose fault it is that a server refuses a statement: told from what it says."""

from __future__ import annotations

import pytest

from engine.errors import CouldNotVerify, DamagedSet, OperationFailed
from engine.sources.postgres.restore.refused import lacks, object_at, refused, refused_line

LACKING = (
    'ERROR: invalid value for parameter "TimeZone": "Asia/Seoul"',
    'ERROR: time zone "Asia/Seoul" not recognized',
    'ERROR: invalid value for parameter "lc_time": (not shown)',
    'ERROR: invalid value for parameter "lc_messages": "ko_KR.UTF-8"',
    'ERROR: collation "ko_KR" for encoding "UTF8" does not exist',
    'ERROR: could not open dictionary file "/usr/share/tsearch_data/ko.dict": No such file or directory',
    'ERROR: could not open stop-word file "/usr/share/tsearch_data/ko.stop": No such file or directory',
    "FATAL: sorry, too many clients already",
    "FATAL: remaining connection slots are reserved for roles with the SUPERUSER attribute",
    'ERROR: extension "postgis" is not available',
    'ERROR: extension "postgis" has no installation script nor update path for version "3.4"',
    "ERROR: could not open extension control file: No such file or directory",
    'ERROR: could not access file "$libdir/postgis-3": No such file or directory',
    'ERROR: could not load library "/usr/lib/x.so": libgeos.so.1: cannot open shared object file',
    'ERROR: could not create locale "ko_KR.utf8": No such file or directory',
    'ERROR: could not extend file "base/1/2": No space left on device',
    "ERROR: out of shared memory",
    'ERROR: source database "template1" is being accessed by other users',
    "ERROR: canceling statement due to lock timeout",
    "ERROR: compression method lz4 not supported",
)
THE_SOURCE_S = (
    "ERROR: permission denied for table sale",
    'ERROR: new row for relation "offer" violates check constraint "not_over"',
    'ERROR: role "16512" does not exist',
    'ERROR: collation "public.mine" does not exist',
    'ERROR: extension "mylang" is not available; Command was: CREATE OR REPLACE PROCEDURAL LANGUAGE mylang ...',
)
SQL = [b"SET x = 1;\n\n--\n-- Name: t; Type: TABLE; Schema: public; Owner: o\n--\n\nCREATE TABLE public.t (\n",
       b"  a int\n);\n--\n-- Data for Name: t; Type: TABLE DATA; Sche", b"ma: public; Owner: o\n--\nCOPY public.t FROM stdin;\n1\n\\.\n"]  # fmt: skip


@pytest.mark.parametrize("message", LACKING)
def test_what_the_server_lacks_could_not_be_verified(message: str) -> None:
    assert lacks(message)
    error = refused(OperationFailed(f"psql ended with 3: {message}."), message, "The scratch server")
    assert isinstance(error, CouldNotVerify)
    assert str(error).startswith("The scratch server lacks what this set needs")


@pytest.mark.parametrize("message", THE_SOURCE_S)
def test_what_the_source_holds_will_be_there_again(message: str) -> None:
    error = refused(OperationFailed(f"psql ended with 3: {message}."), message, "The scratch server", "TABLE public.t")
    assert isinstance(error, DamagedSet)
    assert "That is of TABLE public.t. The stored bytes are those of the manifest" in str(error)


def test_the_line_that_psql_names_leads_to_the_object() -> None:
    assert refused_line("psql ended with 3: psql:<stdin>:12: ERROR: x.") == 12
    assert refused_line("pg_restore: error: x") is None
    found = [object_at(SQL, line) for line in (1, 7, 8, 13, 99)]
    assert found == ["", "TABLE public.t", "TABLE public.t", "TABLE DATA public.t", "TABLE DATA public.t"]
