"""The literal table of all addresses. What lies below /fhir stands in interactions/table.py. https://hl7.org/fhir/R4/http.html"""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.interactions.table import TABLE, Interaction
from fhir_server.rest.endpoint import PREFIX, FhirEndpoint
from fhir_server.rest.errors import outcome_body
from fhir_server.rest.probes import healthz, metrics, readyz

# A bundle cannot be an entry of a bundle: its row is not in the table that entries are looked up in.
INTERACTIONS: tuple[Interaction, ...] = (
    *TABLE,
    Interaction("POST", "", "transaction", batch_or_transaction, "resource"),
)


def routes(endpoint: FhirEndpoint) -> list[BaseRoute]:
    """All routes of the application."""
    return [
        Route(PREFIX + "/{path:path}", endpoint),
        Route(PREFIX, endpoint),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ]


async def nowhere(request: Request, error: Exception) -> Response:
    """Addresses outside the table and methods they do not take: an OperationOutcome too."""
    assert isinstance(error, HTTPException)
    text = f"{error.detail}: the FHIR base is {PREFIX}."
    body = outcome_body(refuse(error.status_code, "not-found" if error.status_code == 404 else "not-supported", text))
    return Response(body, error.status_code, error.headers, "application/fhir+json")
