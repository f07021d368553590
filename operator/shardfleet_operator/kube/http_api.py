"""``KubeApi`` over HTTP, on aiohttp."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import aiohttp

from .api import FIELD_MANAGER, ApiError, ApiUnavailable, KubeObject
from .kinds import Kind, kind_of

TIMEOUT_S = 30.0
"""An API server that needs longer is as good as away; what was asked is asked again."""
CONNECTIONS = 32
"""More calls than these wait for their turn; a time-out counts from the moment at which one is sent."""

_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_MERGE = "application/merge-patch+json"


class Connection(Protocol):
    """Where the API server is and who asks; kopf's ``ConnectionInfo`` is one."""

    @property
    def server(self) -> str: ...
    def as_http_headers(self) -> dict[str, str]: ...
    def as_ssl_context(self) -> ssl.SSLContext: ...


class HttpKubeApi:
    """One session to one API server, made at the first call, inside a running loop.

    Args:
        connect: logs in; called again where the API server no longer takes the old credentials (a token is
            replaced within the hour).
    Attributes:
        answers: how many calls were answered, by verb, kind and HTTP status; 0 for those that were not.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._session: aiohttp.ClientSession | None = None
        self._server = ""
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self.answers: dict[tuple[str, str, int], int] = {}

    # --- KubeApi -----------------------------------------------------------------------------------------------

    async def get(self, kind: Kind, namespace: str, name: str) -> KubeObject | None:
        try:
            return await self._call("get", kind, "GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: Kind, namespace: str, *, labels: str = "") -> list[KubeObject]:
        query = {"resourceVersion": "0", **({"labelSelector": labels} if labels else {})}
        found = await self._call("list", kind, "GET", kind.path(namespace), query=query)
        # Objects in a list lack what they all share.
        return [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in found.get("items") or ()]

    async def create(self, body: KubeObject) -> KubeObject:
        kind = kind_of(body)
        path = kind.path(body["metadata"]["namespace"])
        return await self._call("create", kind, "POST", path, body=body, query={"fieldManager": FIELD_MANAGER})

    async def apply(self, body: KubeObject) -> KubeObject:
        kind, metadata = kind_of(body), body["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._call("apply", kind, "PATCH", path, body=body, content_type=_APPLY, query=query)

    async def merge(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str = ""
    ) -> KubeObject:
        path = kind.path(namespace, name, subresource=subresource)
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call("patch", kind, "PATCH", path, body=patch, content_type=_MERGE, query=query)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> KubeObject | None:
        options = {"kind": "DeleteOptions", "apiVersion": "v1", **({"preconditions": {"uid": uid}} if uid else {})}
        try:
            answer = await self._call("delete", kind, "DELETE", kind.path(namespace, name), body=options)
        except ApiError as error:
            if error.status == 404 or (error.status == 409 and uid):
                return None
            raise
        # Gone at once: the API server answers a Status, or the object as it last was.
        is_object = answer.get("kind") != "Status" and "deletionTimestamp" in answer.get("metadata", {})
        return answer if is_object else None

    # --- inside ------------------------------------------------------------------------------------------------

    async def _call(
        self,
        verb: str,
        kind: Kind,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = _JSON,
        query: Mapping[str, str] | None = None,
    ) -> KubeObject:
        what, status = f"{verb} {path}", 0
        try:
            status, text = await self._send(what, method, path, body, content_type, query)
            if status == 401:
                await self.close()
                status, text = await self._send(what, method, path, body, content_type, query)
        finally:
            key = (verb, kind.kind, status)
            self.answers[key] = self.answers.get(key, 0) + 1
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"message": text[:500]}
        if status >= 400:
            message, reason = str(answer.get("message", "")), str(answer.get("reason", ""))
            raise ApiError(what, status=status, reason=reason, message=message)
        return dict(answer)

    async def _send(
        self,
        what: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        content_type: str,
        query: Mapping[str, str] | None,
    ) -> tuple[int, str]:
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": content_type}
        try:
            async with self._turns:
                session = self._open()
                url = self._server + path
                async with session.request(method, url, data=data, headers=headers, params=query) as response:
                    return response.status, await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiUnavailable(what, str(error) or type(error).__name__) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connection = self._connect()
            self._server = connection.server.rstrip("/")
            context = connection.as_ssl_context() if self._server.startswith("https:") else None
            connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=context if context is not None else True)
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": "shardfleet-operator", "Accept": _JSON, **connection.as_http_headers()},
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            )
        return self._session

    async def close(self) -> None:
        """The next call logs in anew."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
