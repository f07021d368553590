"""Which server this is, and whether it can serve a fleet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from ..errors import StoreRefused

OLDEST_REDIS = (7, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """From INFO, and ``appendfsync`` from CONFIG where that is allowed."""

    name: str
    """'redis' or 'valkey'."""
    version: str
    run_id: str
    append_only: bool
    appendfsync: str
    """'always', 'everysec', 'no', or '' where CONFIG is not allowed."""
    maxmemory_policy: str
    cluster: bool
    role: str
    used_memory_bytes: int

    @classmethod
    def from_info(cls, text: str, *, appendfsync: str) -> Self:
        """``text`` is the answer of INFO."""
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        valkey = fields.get("valkey_version", "")
        return cls(
            name="valkey" if valkey else "redis",
            version=valkey or fields.get("redis_version", "0"),
            run_id=fields.get("run_id", ""),
            append_only=fields.get("aof_enabled") == "1",
            appendfsync=appendfsync,
            maxmemory_policy=fields.get("maxmemory_policy", "noeviction"),
            cluster=fields.get("cluster_enabled") == "1" or fields.get("redis_mode") == "cluster",
            role=fields.get("role", "master"),
            used_memory_bytes=int(fields.get("used_memory", "0")),
        )

    @property
    def durable(self) -> bool:
        """Whether a restart keeps the data. False: the condition RedisNotDurable."""
        return self.append_only

    def refuse_unfit(self, address: str) -> None:
        """Raises ``StoreRefused``, naming the setting, for a server on which a fleet could lose its entities.

        Any eviction policy is refused, also while ``maxmemory`` is 0: it is one CONFIG SET away from dropping a
        journal, and whoever set a policy meant it to be used.
        """
        where = f"{self.name} {self.version} at {address}"
        numbers = tuple(int(part) for part in re.findall(r"\d+", self.version)[:2])
        if self.name == "redis" and numbers < OLDEST_REDIS:
            raise StoreRefused(f"{where} is too old: Redis 7.0 or newer, or Valkey, is needed")
        if self.cluster:
            raise StoreRefused(f"{where} runs in cluster mode (cluster-enabled yes): use a single server")
        if self.role != "master":
            raise StoreRefused(f"{where} is a replica: name the primary")
        if self.maxmemory_policy != "noeviction":
            raise StoreRefused(
                f"{where} may evict keys (maxmemory-policy {self.maxmemory_policy}): set maxmemory-policy noeviction"
            )
