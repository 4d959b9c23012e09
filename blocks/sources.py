"""A block for each type of source in the registry: the engine's own settings, editable in the UI."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, cast

from blocks.config_block import ConfigBlock
from engine.config.settings import SourceSettings
from engine.sources import registry
from engine.sources.base import SourceType


class SourceBlock(ConfigBlock):
    """What the blocks of all types of source have."""

    def settings(self) -> SourceSettings:
        """The frozen settings the engine works with."""
        model = cast(Any, self)._settings_model
        return cast(SourceSettings, model(**{name: getattr(self, name) for name in model.model_fields}))


def source_blocks() -> Iterator[type[SourceBlock]]:
    """One for each type of source."""
    return map(source_block, registry.SOURCE_TYPES)


@cache
def source_block(source: SourceType) -> type[SourceBlock]:
    """The block of a type of source."""
    title = "".join(word.capitalize() for word in source.noun.split())
    return cast(
        type[SourceBlock],
        type(
            f"{title}Source",
            (source.settings, SourceBlock),
            {
                "__module__": __name__,
                "__doc__": f"{source.title}: where it is and where its backups go; platform-ops.toml wins.",
                "_block_type_name": source.title,
                "_block_type_slug": source.slug,
                "_description": f"{source.title} and where its backups go. platform-ops.toml wins over edits made here.",
                "_settings_model": source.settings,
                # Written out because the settings are frozen and strict, and a block must be neither.
                "model_config": ConfigBlock.model_config,
            },
        ),
    )
