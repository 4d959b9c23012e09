"""What the blocks share: a form with readable titles, and one clear sentence when one is not there."""

from __future__ import annotations

from typing import Any, Self, cast

from prefect.blocks.core import Block
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import ConfigurationError

_SPELLED = {
    "sslmode": "SSL mode",
    "sslrootcert": "SSL root certificate",
    "endpoint_url": "Endpoint URL",
    "kms_key_id": "KMS key id",
    "part_size_mib": "Part size (MiB)",
}


def readable_title(name: str, _info: object = None) -> str:
    """`maintenance_database` as an operator reads it: `Maintenance database`."""
    return _SPELLED.get(name) or name.replace("_", " ").capitalize().replace("Ssh", "SSH")


class NoSuchBlock(ConfigurationError):
    """There is no block of that type and name."""


class ConfigBlock(Block):
    """A block that is written from platform-ops.toml and read by tasks.

    A key the code does not know (from a newer version) is dropped rather than refused, so that an
    older worker still opens a newer block.
    """

    model_config = ConfigDict(extra="ignore", frozen=False, field_title_generator=readable_title)

    @classmethod
    def of(cls, settings: BaseModel) -> Self:
        """The block that holds `settings`."""
        return cls(**settings.model_dump())

    @classmethod
    def named(cls, name: str) -> Self:
        """The block of that name.

        Raises:
            ConfigurationError: there is none, or what somebody saved in it is not valid.
        """
        # Prefect dispatches on the calling thread's loop; `_sync` makes it the same everywhere.
        load = cast(Any, cls.load)
        try:
            return cast(Self, load(name, _sync=True))
        except ValidationError as error:
            fields = ", ".join(sorted({".".join(map(str, e["loc"])) or "the whole" for e in error.errors()}))
            raise ConfigurationError(
                f"The block {cls.get_block_type_slug()}/{name} is not valid at {fields}; "
                "correct platform-ops.toml and run `python -m deployments.apply`."
            ) from None
        except ValueError:
            raise NoSuchBlock(
                f"There is no block {cls.get_block_type_slug()}/{name} in Prefect; add {name} to "
                "platform-ops.toml and run `python -m deployments.apply`."
            ) from None
