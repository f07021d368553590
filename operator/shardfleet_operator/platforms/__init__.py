"""Where shards run: ``local`` (processes of this machine); Kubernetes' pods have the same interface."""

from .platform import Performed, PlanStore, Platform, give, perform

__all__ = ["Performed", "PlanStore", "Platform", "give", "perform"]
