"""Who may ask the map's server, and what a browser may do with its answers. Pure but for aiohttp's requests.

A page of another site must not read the map through its visitor's browser: a name that an attacker lets point to
127.0.0.1 is not among ``hosts``, and a WebSocket is opened to pages of this server alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlsplit

from aiohttp import web
from shardfleet_shard.errors import UsageError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
PROTOCOL = "shardfleet.map.v1"
"""Of the WebSocket. A page without another way to send a header names its token as a further protocol."""
TOKEN_PREFIX = "token."
MIN_TOKEN_CHARACTERS = 16

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Args: ``hosts``: names, besides the loopback's, under which the server may be asked; ``token``: '' for none."""

    def __init__(self, *, hosts: Iterable[str] = (), token: str = "") -> None:
        self._hosts = {name.lower() for name in (*LOOPBACK_NAMES, *hosts)}
        self._token = token

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = self._refusal(request)
        response = refused if refused is not None else await _answered(request, handler)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        """None where the request may go on."""
        if request.path == "/healthz":  # a kubelet asks by the pod's address
            return None
        if _name(request.host) not in self._hosts:
            return _error(421, f"not the name of this server: {request.host!r}; use 127.0.0.1, or add --host NAME")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
            return _error(403, "only pages of this server may ask it")
        if request.path.startswith("/api/") and not self._knows_token(request):
            return _error(401, "the token is missing or wrong: open the address that the command printed")
        return None

    def _knows_token(self, request: web.Request) -> bool:
        if not self._token:
            return True
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
            if protocol.strip().startswith(TOKEN_PREFIX):
                given = protocol.strip().removeprefix(TOKEN_PREFIX)
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())


def checked_token(text: str, *, source: str) -> str:
    """Raises ``UsageError`` for a token that is too short, or that no header can carry."""
    token = text.strip()
    if len(token) < MIN_TOKEN_CHARACTERS or not all(
        one.isascii() and (one.isalnum() or one in "-._~") for one in token
    ):
        raise UsageError(
            f"{source}: a token is at least {MIN_TOKEN_CHARACTERS} letters, digits, '-', '.', '_' or '~'; "
            "for example 'openssl rand -hex 32'"
        )
    return token


def is_loopback(host: str) -> bool:
    return host.strip("[]") in LOOPBACK_NAMES


def _name(host: str) -> str:
    """Of a Host header, without its port."""
    return (urlsplit(f"//{host}").hostname or "").lower()


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _error(error.status, error.reason)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
