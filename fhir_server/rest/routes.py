"""The literal table of all addresses. What lies below /fhir stands in interactions/table.py. https://hl7.org/fhir/R4/http.html"""

from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fhir_server.auth.cors import Cors
from fhir_server.auth.routes import ROUTES as AUTH
from fhir_server.export.import_status import forget_import, import_errors, import_status
from fhir_server.export.status import export_status, forget_export
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.jobs import forget, now_or_later, status
from fhir_server.interactions.table import TABLE, Interaction, compiled
from fhir_server.operations.table import OPERATIONS, rows
from fhir_server.rest.endpoint import PREFIX, FhirEndpoint
from fhir_server.rest.errors import outcome_body
from fhir_server.rest.files import FILE, Files
from fhir_server.rest.observe import Observe
from fhir_server.rest.probes import healthz, metrics, readyz

# A bundle cannot be an entry of a bundle: its row, those of jobs, and of operations that answer with no resource, are
# not in the table of what entries may be.
ENTRIES = (*TABLE, *rows(tuple(one for one in OPERATIONS if not one.alone)))
ENTRY_SHAPES = compiled(ENTRIES)
INTERACTIONS: tuple[Interaction, ...] = (
    *ENTRIES,
    *rows(tuple(one for one in OPERATIONS if one.alone)),
    Interaction("POST", "", "transaction", partial(now_or_later, shapes=ENTRY_SHAPES), "", "resource"),
    Interaction("GET", "_async/[id]", "async", partial(status, shapes=ENTRY_SHAPES)),
    Interaction("DELETE", "_async/[id]", "async", forget),
    Interaction("GET", "_export/[id]", "export-status", export_status),
    Interaction("DELETE", "_export/[id]", "export-status", forget_export),
    Interaction("GET", "_import/[id]", "import-status", import_status),
    Interaction("DELETE", "_import/[id]", "import-status", forget_import),
    Interaction("GET", "_import/[id]/[version]", "import-report", import_errors),
)


ROUTES: tuple[Route, ...] = (
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
)
# Below /fhir, and yet no interaction.
APART = frozenset({"/fhir/.well-known/smart-configuration"})


class Application(FastAPI):
    """FastAPI for all addresses but those below /fhir, which go straight to their endpoint: the framework's stack of
    middleware, routing, Request and Response objects would take longer than a read does."""

    def __init__(self, endpoint: FhirEndpoint, log: bool, lifespan: Any, smart: bool = False) -> None:
        super().__init__(
            openapi_url=None,
            routes=[*ROUTES, *(AUTH if smart else ())],  # where everyone is let in, there is nothing to discover
            lifespan=lifespan,
            exception_handlers={HTTPException: nowhere},
        )
        self.state.fhir = self.endpoint = endpoint
        self._files = Files(endpoint)
        self._observed = Observe(Cors(self._pass_on, lambda: endpoint.server, smart), log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._observed(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and FILE.fullmatch(path):
            await self._files(scope, receive, send)
        elif scope["type"] == "http" and (path.startswith(PREFIX + "/") or path == PREFIX) and path not in APART:
            await self.endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def nowhere(request: Request, error: Exception) -> Response:
    """Addresses outside the table and methods they do not take: an OperationOutcome too."""
    assert isinstance(error, HTTPException)  # it is registered for these only
    text = f"{error.detail}: the FHIR base is {PREFIX}."
    body = outcome_body(refuse(error.status_code, "not-found" if error.status_code == 404 else "not-supported", text))
    return Response(body, error.status_code, error.headers, "application/fhir+json")
