"""The Cluster block: an application in a Kubernetes cluster, and how it is deployed."""

from __future__ import annotations

from blocks.config_block import ConfigBlock
from engine.config.clusters import ClusterSettings


class Cluster(ClusterSettings, ConfigBlock):
    """An application in a namespace; written from platform-ops.toml, which wins."""

    _block_type_name = "Kubernetes application"
    _block_type_slug = "kubernetes-application"
    _description = (
        "An application in a namespace of a Kubernetes cluster: where it is and how it is deployed. platform-ops.toml "
        "wins over edits made here."
    )

    # Written out because the settings are frozen and strict, and a block must be neither.
    model_config = ConfigBlock.model_config

    def settings(self) -> ClusterSettings:
        """The frozen settings the engine works with."""
        return ClusterSettings(**{name: getattr(self, name) for name in ClusterSettings.model_fields})
