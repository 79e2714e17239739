"""Which pages of other origins may call from a browser. https://hl7.org/fhir/smart-app-launch/app-launch.html#considerations-for-cross-origin-resource-sharing-cors-support

What everyone may know is open to any origin; tokens and records only to the origins of registered browser apps.
"""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_server.auth.clients import known_origin
from fhir_server.server import Server
from fhir_server.store.seam import Busy, StoreError

# Read by any page.
ANYONE = frozenset(
    {
        "/.well-known/smart-configuration",
        "/.well-known/openid-configuration",
        "/fhir/.well-known/smart-configuration",
        "/auth/.well-known/openid-configuration",
        "/auth/jwks",
        "/auth/style.json",
        "/fhir/metadata",
    }
)
# Called by the pages of registered apps, as is all below /fhir.
APPS = frozenset({"/auth/token", "/auth/introspect", "/auth/revoke"})
_ALLOWED = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"Accept, Authorization, Content-Type, Prefer, If-Match, If-None-Match, If-None-Exist, If-Modified-Since, "
        b"X-Request-Id",
    ),
    (b"access-control-max-age", b"600"),
)
_EXPOSED = (
    b"access-control-expose-headers",
    b"Content-Location, ETag, Last-Modified, Location, Preference-Applied, Retry-After, WWW-Authenticate, "
    b"X-Export-Status, X-Progress, X-Request-Id",
)


class Cors:
    """Pure ASGI middleware around all addresses; a request without an Origin passes at the price of one look."""

    def __init__(self, app: ASGIApp, server: Callable[[], Server | None], smart: bool) -> None:
        self.app, self.server, self.smart = app, server, smart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = b""
        for name, value in scope.get("headers", ()):
            if name == b"origin":
                origin = value
        if not origin or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        allowed = await self._allowed(scope["path"], origin)
        if scope["method"] == "OPTIONS" and any(
            name == b"access-control-request-method" for name, _ in scope["headers"]
        ):
            headers = [*allowed, *(_ALLOWED if allowed else ()), (b"vary", b"Origin")]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *allowed, (b"vary", b"Origin")]
                if allowed:
                    message["headers"].append(_EXPOSED)
            await send(message)

        await self.app(scope, receive, marked)

    async def _allowed(self, path: str, origin: bytes) -> list[tuple[bytes, bytes]]:
        if path in ANYONE:
            return [(b"access-control-allow-origin", b"*")]
        server = self.server()
        if not self.smart or server is None or not (path in APPS or path == "/fhir" or path.startswith("/fhir/")):
            return []
        try:
            known = await known_origin(server, origin.decode("latin-1"))
        except (Busy, StoreError):
            return []
        return [(b"access-control-allow-origin", origin)] if known else []
