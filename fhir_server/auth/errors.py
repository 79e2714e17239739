"""What the authorization server answers when it refuses. https://www.rfc-editor.org/rfc/rfc6749#section-5.2"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.rest.errors import frames
from fhir_server.server import Server
from fhir_server.store.seam import Busy, StoreError

log = logging.getLogger("fhir_server")
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
Handler = Callable[[Server, Request], Awaitable[Response]]


class OAuthError(Exception):
    """A refusal: the status, the error code of the RFC, and what a developer can do about it (no secrets)."""

    def __init__(self, status: int, error: str, description: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {error}: {description}")
        self.status, self.error, self.description = status, error, description
        self.headers: dict[str, str] = dict(headers or {})


def invalid_client(description: str, basic: bool = False) -> OAuthError:
    """401: the client is unknown or did not prove who it is; `basic`: it tried by HTTP Basic."""
    return OAuthError(401, "invalid_client", description, {"WWW-Authenticate": 'Basic realm="fhir"'} if basic else {})


def invalid_request(description: str) -> OAuthError:
    """400: the request itself is malformed."""
    return OAuthError(400, "invalid_request", description)


def json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that nobody may store."""
    return JSONResponse(dict(body), status, {**NO_STORE, **(headers or {})})


def refused(error: OAuthError) -> Response:
    """The answer that tells of an OAuthError."""
    return json({"error": error.error, "error_description": error.description}, error.status, error.headers)


def answering(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A route around a handler: it is given the Server, and every exception becomes an OAuth error in JSON."""

    @wraps(handler)
    async def route(request: Request) -> Response:
        request.scope["interaction"] = f"auth-{handler.__name__}"
        server: Server | None = request.app.state.fhir.server
        try:
            if server is None:
                raise OAuthError(503, "temporarily_unavailable", "The server is starting.", {"Retry-After": "1"})
            return await handler(server, request)
        except OAuthError as error:
            return refused(error)
        except (Busy, StoreError) as error:
            log.error("request %s: the store failed: %s", request.scope.get("request_id", ""), error)
            busy = OAuthError(503, "temporarily_unavailable", "The store cannot be used now.", {"Retry-After": "5"})
            return refused(busy)
        except Exception as error:
            id = request.scope.get("request_id", "")
            log.error("request %s failed: %s\n%s", id, type(error).__name__, frames(error))
            return refused(OAuthError(500, "server_error", f"The server failed; its log has more under request {id}."))

    return route
