"""Where shards run: ``local`` (processes of this machine); Kubernetes' pods have the same interface."""

from .platform import Platform, ShardProcess

__all__ = ["Platform", "ShardProcess"]
