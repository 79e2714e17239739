"""Grants, refusals and withdrawals in the journal of accesses, before they are answered. https://profiles.ihe.net/ITI/BALP/

What is kept: which client, proven to be it, which user and patient a token is about, and whether it was refused. No
token, code, secret or assertion.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.access.grant import Grant
from fhir_server.audit.journal import Journal
from fhir_server.audit.record import access
from fhir_server.auth.errors import OAuthError, refused
from fhir_server.rest.errors import frames
from fhir_server.server import Server

log = logging.getLogger("fhir_server")
Route = Callable[[Request], Awaitable[Response]]


def acting(
    request: Request, client: str, user: str = "", patient: str = "", role: str = "", others: Iterable[str] = ()
) -> None:
    """Say for the journal who was found to be asking, about whom, and which other patients are named to them."""
    request.scope["grant"] = Grant(client=client, scopes=(), user=user, patient=patient, role=role)
    request.scope["patients"] = (*([patient] if patient else []), *others)


def audited(route: Route) -> Route:
    """A route whose answers leave when they are journalled; 503 if they cannot be, and then nothing is told."""

    @wraps(route)
    async def journalled(request: Request) -> Response:
        answer = await route(request)
        journal: Journal | None = request.app.state.fhir.journal
        server: Server | None = request.app.state.fhir.server
        if journal is None or server is None:
            return answer
        scope = request.scope
        grant: Grant | None = scope.get("grant")
        id, name = scope.get("request_id", ""), scope.get("interaction", "")
        address = request.client.host if request.client else ""
        patients = scope.get("patients", ())
        try:
            await journal.write(access(server.clock(), id, address, grant, answer.status_code, name, patients=patients))
        except Exception as error:
            log.error("request %s: not journalled: %s\n%s", id, type(error).__name__, frames(error))
            text = "The request could not be journalled, so that its answer is withheld."
            return refused(OAuthError(503, "temporarily_unavailable", text, {"Retry-After": "5"}))
        return answer

    return journalled
