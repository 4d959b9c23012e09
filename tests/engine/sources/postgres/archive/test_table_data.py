"""Rows of tables out of pg_restore's text, wherever the text is cut, whatever names and rows hold."""

from __future__ import annotations

import random

import pytest

from engine.sources.postgres.archive.table_data import rows_of

TEXT = rb"""--
-- PostgreSQL database dump
--

\restrict x

SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.t (id, name) FROM stdin;
1	one
2	\\.
3	\n\\.\n
\.


--
-- Data for Name: a COPY x FROM stdin; b; Type: TABLE DATA; Schema: S 1; Owner: postgres
--

COPY "S 1"."a
COPY x FROM stdin;
""b" ("FROM stdin;
") FROM stdin;
\N
\.


COPY public.empty (a) FROM stdin;
\.


COPY public.no_columns  FROM stdin;


\.

\unrestrict x
"""
ODD = b'"S 1"."a\nCOPY x FROM stdin;\n""b"'
EXPECTED = {
    b"public.t": b"1\tone\n2\t\\\\.\n3\t\\n\\\\.\\n\n",
    ODD: b"\\N\n",
    b"public.no_columns": b"\n\n",
}


def gathered(pieces: list[bytes], size: int) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for rows in rows_of(pieces, size):
        assert rows.data
        assert rows.unfinished == (not rows.data.endswith(b"\n"))
        found[rows.copy.table] = found.get(rows.copy.table, b"") + rows.data
    return found


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 17, 10_000])
def test_the_same_rows_wherever_the_text_is_cut(length: int, size: int) -> None:
    pieces = [TEXT[at : at + length] for at in range(0, len(TEXT), length)]
    assert gathered(pieces, size) == EXPECTED


def test_pieces_of_any_length() -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    for _ in range(300):
        cuts = sorted(chance.sample(range(len(TEXT)), chance.randrange(1, 60)))
        pieces = [TEXT[a:b] for a, b in zip([0, *cuts], [*cuts, len(TEXT)], strict=True)]
        assert gathered(pieces, chance.choice((1, 2, 20))) == EXPECTED


def test_statement_and_settings() -> None:
    first = next(iter(rows_of([TEXT])))
    assert first.copy.statement == b"COPY public.t (id, name) FROM stdin"
    lines = [line for line in first.copy.settings.splitlines() if line]
    assert lines == [
        b"SET client_encoding = 'UTF8';",
        b"SELECT pg_catalog.set_config('search_path', '', false);",
    ]


def test_a_text_that_ends_inside_a_table() -> None:
    cut = TEXT.index(b"\n\\.\n") + 2
    with pytest.raises(BrokenPipeError, match=r"the rows of public\.t end too early"):
        list(rows_of([TEXT[:cut]]))


def test_a_long_row_is_not_kept() -> None:
    pieces = [b"COPY t (a) FROM stdin;\n", *[b"x" * 1000] * 50, b"\n", b"next\n\\.\n"]
    rows = list(rows_of(pieces, 2000))
    assert max(len(one.data) for one in rows) <= 3000
    assert [one.unfinished for one in rows] == [True] * (len(rows) - 2) + [False, False]
