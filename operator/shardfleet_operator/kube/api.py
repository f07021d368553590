"""What the operator asks of the Kubernetes API, and what can come back.

Nothing here retries or caches: callers are level-triggered, so a call that failed comes again with the next plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from shardfleet_shard.errors import ShardfleetError

from .kinds import Kind

KubeObject = dict[str, Any]

FIELD_MANAGER = "shardfleet-operator"


class ApiError(ShardfleetError):
    """The API server said no; its own message, with the call before it.

    Attributes:
        status: of HTTP.
        reason: the API's word, such as Forbidden, Invalid or Conflict.
        message: the API server's, alone.
    """

    code = "kubernetes"

    def __init__(self, call: str, *, status: int, reason: str, message: str) -> None:
        super().__init__(f"{call}: {message or reason or status}")
        self.status = status
        self.reason = reason
        self.message = message or reason or str(status)

    @property
    def retryable(self) -> bool:  # type: ignore[override]
        return self.status in (409, 429) or self.status >= 500


class ApiUnavailable(ApiError):
    """No answer: the call may or may not have been carried out."""

    code = "kubernetes-unavailable"

    def __init__(self, call: str, message: str) -> None:
        super().__init__(call, status=503, reason="Unavailable", message=message)


class KubeApi(Protocol):
    """All methods raise ``ApiError``; ``ApiUnavailable`` where there was no answer."""

    async def get(self, kind: Kind, namespace: str, name: str) -> KubeObject | None:
        """None where there is none."""
        ...

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> list[KubeObject]:
        """Objects of a namespace ('' for all) by label selector ('' for all), from the API server's cache.

        For resynchronizing only, never for an event.
        """
        ...

    async def create(self, body: KubeObject) -> KubeObject: ...

    async def apply(self, body: KubeObject) -> KubeObject:
        """Server-side apply, forced, as ``FIELD_MANAGER``."""
        ...

    async def merge(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str = ""
    ) -> KubeObject:
        """JSON merge patch. With metadata.resourceVersion in it, refused (409) where that is not the newest."""
        ...

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> KubeObject | None:
        """Deletes in the object's own grace. None where it is gone (or ``uid`` is another's), else as it is now."""
        ...
