"""The proof of a database: what it holds, small enough to compare after a restore.

For each table the number of rows and an order-free hash of them, for each large object a hash, for
each sequence its value, the schema as text, and what its expressions depend on. The table's hash is the sum of its rows' hashes
(`row_hash.py`) modulo 2^64, which duplicates do not cancel.

A sampled proof counts every row and hashes those whose primary key falls into the sample; a table
without a primary key is hashed whole. What is outside the sample may change unseen.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field

from engine.sources.postgres.proof.dependencies import DependencyProof
from engine.sources.postgres.proof.extensions import ExtensionProof

_ENCODING = re.compile(r"^SET client_encoding = '(\w+)';$", re.MULTILINE)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableProof(_Frozen):
    """`rows` and `hash` (of 64 bits) of one table. `tree` is the root of a hash-partitioned tree:
    its rows may land in other leaves after a restore, so such leaves are compared as one."""

    rows: int
    hash: int
    tree: str | None = None


class LargeObjectProof(_Frozen):
    owner: str
    acl: str
    comment: str
    size: int
    hash: int


class DatabaseProperties(_Frozen):
    """What a database itself has set; `settings` are pairs of a role (empty: all) and `name=value`;
    `provider` is `c` (libc), `i` (ICU) or `b` (built in) and `locale` ICU's or the built-in one's."""

    owner: str
    encoding: str
    collate: str
    ctype: str
    provider: str
    locale: str
    icu_rules: str
    connection_limit: int
    template: bool
    comment: str
    acl: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]


class DatabaseProof(_Frozen):
    """The proof of one database. `schema_sql` is the SQL of everything but data, `views` what could be read of the rows
    of materialized views; `unread_views` are those that could not.

    `sample_percent`: how many in a hundred rows of a table with a primary key are in its hash; 100 is all.
    `extensions`: empty where the proof is older than this field; `dependencies`: None where it is.
    """

    database: str
    properties: DatabaseProperties
    tables: dict[str, TableProof]
    sequences: dict[str, tuple[int, bool]]
    large_objects: dict[int, LargeObjectProof]
    unpopulated: tuple[str, ...]
    schema_sql: str
    views: dict[str, TableProof] = {}
    unread_views: tuple[str, ...] = ()
    sample_percent: int = Field(default=100, ge=1, le=100)
    extensions: dict[str, ExtensionProof] = {}
    dependencies: DependencyProof | None = None

    @property
    def client_encoding(self) -> str:
        """What the dump was made in: what is restored must be read in the same, or no value would be equal."""
        found = _ENCODING.search(self.schema_sql)
        return found[1] if found else "UTF8"

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())
