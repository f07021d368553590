"""Where shards run: ``local`` (processes of this machine); Kubernetes' pods have the same interface."""

from .platform import LayoutWriter, Performed, Platform, give, perform

__all__ = ["LayoutWriter", "Performed", "Platform", "give", "perform"]
