"""Property tests run on shared machines: no deadline for a single example, nothing left on disk."""

from __future__ import annotations

from hypothesis import settings

from tests.engine.stores.conftest import moto, start_server, store, store_kind

__all__ = ["moto", "start_server", "store", "store_kind"]

settings.register_profile("calm", deadline=None, database=None)
settings.load_profile("calm")
