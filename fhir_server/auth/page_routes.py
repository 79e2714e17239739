"""The literal table of the addresses that people see, and of the launch that leads there. https://hl7.org/fhir/smart-app-launch/app-launch.html"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.auth.apps import apps, logout
from fhir_server.auth.audited import audited
from fhir_server.auth.authorize import authorize, decide, login, pick_patient, proceed, search_patients
from fhir_server.auth.errors import answering
from fhir_server.auth.launch import launch
from fhir_server.auth.page import FOLDER, handled

_CACHED = {"cache-control": "public, max-age=3600", "x-content-type-options": "nosniff"}


async def style_sheet(request: Request) -> Response:
    """GET /auth/style.css: of our own pages."""
    return Response((FOLDER / "style.css").read_bytes(), 200, _CACHED, "text/css")


async def style(request: Request) -> Response:
    """GET /auth/style.json: colours and sizes for apps launched from an EHR, open to any origin."""
    return Response((FOLDER / "style.json").read_bytes(), 200, _CACHED, "application/json")


PAGES: tuple[Route, ...] = (
    Route("/auth/authorize", handled(authorize), methods=["GET", "POST"]),
    Route("/auth/continue", audited(handled(proceed))),
    Route("/auth/login", audited(handled(login)), methods=["GET", "POST"]),
    Route("/auth/patients", audited(handled(search_patients)), methods=["POST"]),
    Route("/auth/patient", audited(handled(pick_patient)), methods=["POST"]),
    Route("/auth/consent", audited(handled(decide)), methods=["POST"]),
    Route("/auth/apps", audited(handled(apps)), methods=["GET", "POST"]),
    Route("/auth/logout", audited(handled(logout)), methods=["POST"]),
    Route("/auth/launch", audited(answering(launch)), methods=["POST"]),
    Route("/auth/style.css", style_sheet),
    Route("/auth/style.json", style),
)
