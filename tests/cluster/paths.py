"""Where everything lives: the cache outside the repository, what runs now, and what a checkout sees of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CLUSTER_NAME = "shardfleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The folders that the cluster's code writes to; it writes nowhere else."""

    repository: Path
    cache: Path
    """Builds, the own Docker's images and the logs; safe to delete while no cluster runs."""

    runtime: Path
    """Socket and pid file of the own Docker; short, since a unix socket's path must stay below 108 bytes."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Layout:
        """The folders of this user: ``$XDG_CACHE_HOME`` or ``~/.cache`` for the cache."""
        values = os.environ if environment is None else environment
        base = values.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return cls(repository=REPOSITORY, cache=Path(base) / "shardfleet" / "cluster", runtime=Path("/run/shardfleet"))

    @property
    def sources(self) -> Path:
        """This package's folder, with the Go programs and the node's files."""
        return self.repository / "tests" / "cluster"

    @property
    def kind_config(self) -> Path:
        """The cluster's shape, the same for every machine."""
        return self.repository / "kind-config.yaml"

    @property
    def kubeconfig(self) -> Path:
        """Written by ``up``, removed by ``down``."""
        return self.repository / "build" / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One file per step, overwritten by the next run of the step."""
        return self.cache / "logs"

    @property
    def record(self) -> Path:
        """What runs now and whose Docker it runs on, see ``kind.Record``."""
        return self.cache / "cluster.json"

    @property
    def lock(self) -> Path:
        """Held by every command that changes the cluster."""
        return self.cache / "lock"

    @property
    def tools_lock(self) -> Path:
        """Held while tools are built, which may take long and hinders nobody else."""
        return self.cache / "lock-tools"
