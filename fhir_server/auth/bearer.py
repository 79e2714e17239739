"""From a request's Authorization header to the caller it makes. https://www.rfc-editor.org/rfc/rfc6750"""

from fhir_server.access import Caller
from fhir_server.access.asking import caller_for
from fhir_server.auth.tokens import grant_of
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.rest.negotiate import Headers
from fhir_server.search.predicate import NOTHING
from fhir_server.server import Server

PUBLIC = frozenset({"capabilities"})  # interactions that tell nothing of any patient
NOBODY = Caller("nobody", lambda type, letter: NOTHING)


async def bearer(server: Server, headers: Headers, interaction: str) -> Caller:
    """The caller whose access token the request carries. Raises FhirError 401, the same for every bad token.

    A token in the query string is none: it would end up in logs.
    """
    given = headers.get(b"authorization")
    if given is None:
        if interaction in PUBLIC:
            return NOBODY
        raise unauthenticated("Give an access token: Authorization: Bearer ...", "Bearer")
    scheme, _, token = given.decode("latin-1").partition(" ")
    grant = await grant_of(server, token.strip()) if scheme.lower() == "bearer" and token else None
    if grant is None:
        raise unauthenticated("The access token is unknown, expired or withdrawn.", 'Bearer error="invalid_token"')
    return await caller_for(server, grant)


def unauthenticated(text: str, challenge: str) -> FhirError:
    """The 401 that asks for a token."""
    return refuse(401, "login", text, WWW_Authenticate=challenge)
