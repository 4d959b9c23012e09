"""Which indexes are of columns alone: only those are built before all rows of a database are in."""

from __future__ import annotations

import pytest

from engine.sources.postgres.archive.plain_index import plain_index


@pytest.mark.parametrize(
    ("statement", "table", "alone"),
    [
        (b"CREATE INDEX i ON public.t USING btree (a);\n", b"public.t", False),
        (b"CREATE UNIQUE INDEX i ON public.t USING btree (a, b_2);\n", b"public.t", False),
        (b"CREATE INDEX i ON public.t USING btree (a DESC, b NULLS FIRST);\n", b"public.t", False),
        (b"CREATE INDEX i ON public.t USING btree (a) INCLUDE (b, c);\n", b"public.t", False),
        (b'CREATE INDEX "a ON b" ON "S 1"."t (x)" USING btree ("a"", b");\n', b'"S 1"."t (x)"', False),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k PRIMARY KEY (a, b);\n", b"public.t", True),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k UNIQUE (a) INCLUDE (b);\n", b"public.t", True),
    ],
)
def test_plain(statement: bytes, table: bytes, alone: bool) -> None:
    found = plain_index(7, statement)
    assert found is not None
    assert (found.dump_id, found.table, found.statement, found.alone) == (7, table, statement, alone)


@pytest.mark.parametrize(
    "statement",
    [
        b"CREATE INDEX i ON public.t USING btree (lower(a));\n",
        b"CREATE INDEX i ON public.t USING btree (((a + 1)));\n",
        b"CREATE INDEX i ON public.t USING btree (a) WHERE (f(a) > 0);\n",
        b"CREATE INDEX i ON public.t USING btree (a public.own_ops);\n",
        b'CREATE INDEX i ON public.t USING btree (a COLLATE "C");\n',
        b"CREATE INDEX i ON public.t USING gist (a);\n",
        b"CREATE INDEX i ON public.t USING btree (a) WITH (fillfactor='70');\n",
        b"CREATE INDEX i ON public.t USING btree (a) TABLESPACE fast;\n",
        b"CREATE INDEX i ON ONLY public.t USING btree (a);\n",
        b"CREATE INDEX i ON public.t USING btree (a);\n\nALTER TABLE public.t CLUSTER ON i;\n",
        b"CREATE INDEX i ON public.t USING btree (a);\nDROP TABLE public.t;\n",
        b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k UNIQUE NULLS NOT DISTINCT (a);\n",
        b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k PRIMARY KEY (a) DEFERRABLE INITIALLY DEFERRED;\n",
        b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES public.s(a);\n",
        b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k EXCLUDE USING gist (a WITH &&);\n",
        b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k PRIMARY KEY USING INDEX i;\n",
        b"",
    ],
)
def test_not_plain(statement: bytes) -> None:
    assert plain_index(7, statement) is None
