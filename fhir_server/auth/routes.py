"""The literal table of the authorization server's addresses. https://hl7.org/fhir/smart-app-launch/"""

from starlette.routing import Route

from fhir_server.auth.audited import audited
from fhir_server.auth.discovery import openid, smart
from fhir_server.auth.emergency import emergency
from fhir_server.auth.endpoints import introspect, jwks, revoke, token
from fhir_server.auth.errors import answering
from fhir_server.auth.page_routes import PAGES
from fhir_server.auth.registration import register_itself

ROUTES: tuple[Route, ...] = (
    Route("/.well-known/smart-configuration", answering(smart)),
    Route("/fhir/.well-known/smart-configuration", answering(smart)),
    Route("/.well-known/openid-configuration", answering(openid)),
    Route("/auth/.well-known/openid-configuration", answering(openid)),
    Route("/auth/jwks", answering(jwks)),
    Route("/auth/token", audited(answering(token)), methods=["POST"]),
    Route("/auth/introspect", audited(answering(introspect)), methods=["POST"]),
    Route("/auth/revoke", audited(answering(revoke)), methods=["POST"]),
    Route("/auth/register", audited(answering(register_itself)), methods=["POST"]),
    Route("/auth/emergency", audited(answering(emergency)), methods=["POST"]),
    *PAGES,
)
