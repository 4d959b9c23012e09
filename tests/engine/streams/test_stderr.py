"""What may be shown of what a client of PostgreSQL says: each text is what a real one said, with canaries for values."""

from __future__ import annotations

import pytest

from engine.streams.stderr import StderrSummary, reason, summary

CHECK = """\
ERROR:  new row for relation "patient" violates check constraint "in_time"
DETAIL:  Failing row contains (see below
CANARY-77 is here
Command was: CANARY-78
ERROR:  CANARY-79 too, 2026-11-29 22:47:07+00).
CONTEXT:  COPY patient, line 1: "see below\\nCANARY-77 is here\\nCANARY-78 too	2026-11-29 22:47:07.6+00"
"""
KEY = """\
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3363; 2606 16397 FK CONSTRAINT visit visit_address_fkey postgres
pg_restore: error: could not execute query: ERROR:  insert or update on table "visit" violates foreign key \
constraint "visit_address_fkey"
DETAIL:  Key (address)=(first line
CANARY-79 second line) is not present in table "place".
Command was: ALTER TABLE ONLY public.visit
    ADD CONSTRAINT visit_address_fkey FOREIGN KEY (address) REFERENCES public.place(address);
"""
MAPPING = """\
pg_restore: from TOC entry 3363; 1417 16397 USER MAPPING USER MAPPING app SERVER other postgres
pg_restore: error: could not execute query: ERROR:  role "app" does not exist
Command was: CREATE USER MAPPING FOR app SERVER other OPTIONS (
    password 'CANARY'
);
"""
BROKEN_COPY = """\
pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.
pg_dump: detail: Error message from server: ERROR:  invalid page in block 0 of relation base/16384/16385
CONTEXT:  CANARY
pg_dump: detail: Command was: COPY public.t (a, b) TO stdout;
"""


@pytest.mark.parametrize(
    ("stderr", "shown"),
    [
        (CHECK, 'ERROR: new row for relation "patient" violates check constraint "in_time"'),
        (
            f"psql:<stdin>:29: NOTICE:  CANARY\n{CHECK}",
            'ERROR: new row for relation "patient" violates check constraint "in_time"',
        ),
        (
            KEY,
            "pg_restore: from TOC entry 3363; 2606 16397 FK CONSTRAINT visit visit_address_fkey postgres; "
            'pg_restore: error: could not execute query: ERROR: insert or update on table "visit" violates foreign key '
            'constraint "visit_address_fkey"; Command was: ALTER TABLE ONLY public.visit ...',
        ),
        (
            MAPPING,
            "pg_restore: from TOC entry 3363; 1417 16397 USER MAPPING USER MAPPING app SERVER other postgres; "
            'pg_restore: error: could not execute query: ERROR: role "app" does not exist; '
            "Command was: CREATE USER MAPPING FOR app SERVER other OPTIONS ...",
        ),
        (
            BROKEN_COPY,
            'pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.; '
            "ERROR: invalid page in block 0 of relation base/16384/16385; Command was: COPY public.t ...",
        ),
        ("NOTICE:  CANARY\nsecond line: CANARY\n", ""),
        ("age: no identity matched\n", "age: no identity matched"),
        ("", ""),
    ],
)
def test_the_reason_is_told_and_no_value(stderr: str, shown: str) -> None:
    assert summary(stderr) == shown


def test_a_long_statement_does_not_push_the_reason_out() -> None:
    output = StderrSummary()
    for line in (*KEY.splitlines(), *(f"    line {number} of a body that names CANARY" for number in range(10_000))):
        output.add(line)
    assert 'violates foreign key constraint "visit_address_fkey"' in output.text()
    assert "CANARY" not in output.text()


@pytest.mark.parametrize(
    "message",
    [
        'invalid input syntax for type integer: "CANARY"',
        'invalid input value for enum mood: "CANARY"',
        'value "CANARY" is out of range for type integer',
        'invalid byte sequence for encoding "UTF8": 0xca 0xfe',
        '"CANARY" is out of range for type double precision',
        '"CANARY" is not a valid binary digit',
        'invalid symbol "CANARY" found while decoding base64 sequence',
        'syntax error at or near "CANARY"',
        'unterminated quoted string at or near "it "CANARY"',
        f'"{"9" * 600} CANARY" is out of range for type double precision',
        '"CANARY\nCANARY" is out of range for type double precision',
        "no partition of relation found\nDETAIL:  CANARY",
    ],
)
def test_no_value_at_the_end_of_a_message(message: str) -> None:
    shown = reason(message)
    assert not {"CANARY", "0xca", "0xfe"} & set(shown.replace('"', " ").split())
    assert "999" not in shown
    if not message.startswith('"'):
        assert shown.split()[0] == message.split()[0]


def test_names_stay() -> None:
    assert reason('could not access file "postgis-3": No such file or directory').startswith(
        'could not access file "pos'
    )
