"""Breaking the glass: a clinician who must see a patient now gives a reason, for a short token that reads all records.

The token is marked: what is read with it is audited as an emergency, with the reason. It is asked for with a token of
the clinician's own, through the same app, and cannot be renewed. https://profiles.ihe.net/ITI/BALP/
"""

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.access.scopes import grantable
from fhir_server.auth import limits
from fhir_server.auth.errors import OAuthError, invalid_request, json
from fhir_server.auth.forms import read_form
from fhir_server.auth.records import Authorization
from fhir_server.auth.tokens import SECOND, authorize, grant_of, issue
from fhir_server.server import Server

LIFETIME = 900  # seconds
SHORTEST, LONGEST = 10, 500  # characters of a reason
CLINICIANS = ("Practitioner/", "PractitionerRole/")


async def emergency(server: Server, request: Request) -> Response:
    """POST /auth/emergency with `reason`, and a clinician's token as Bearer. Raises OAuthError 400, 401, 403, 429."""
    limits.count(server, limits.address(request))
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    grant = await grant_of(server, token.strip()) if kind.lower() == "bearer" else None
    if grant is None:
        told = {"WWW-Authenticate": "Bearer" + (' error="invalid_token"' if token else "")}
        raise OAuthError(401, "invalid_token", "Show the clinician's access token as Bearer.", told)
    if not grant.user.startswith(CLINICIANS) or grant.emergency:
        raise OAuthError(403, "access_denied", "Only a clinician who signed in breaks the glass, once per token.")
    scopes = grantable(server.definitions, " ".join(grant.scopes), ("user/*.rs",))
    if not scopes:
        raise OAuthError(403, "access_denied", "The token has no user/ scope to read or search with.")
    reason = " ".join((await read_form(request)).get("reason", "").split())
    if not SHORTEST <= len(reason) <= LONGEST:
        raise invalid_request(f"reason must say in {SHORTEST} to {LONGEST} characters why this cannot wait.")
    now = server.clock()
    made = Authorization(
        client=grant.client,
        scopes=scopes,
        user=grant.user,
        purposes=("BTG",),
        emergency=reason,
        made=now,
        expires=now + LIFETIME * SECOND,
    )
    fresh = await issue(server, await authorize(server, made), made, scopes, LIFETIME)
    return json({"access_token": fresh, "token_type": "Bearer", "expires_in": LIFETIME, "scope": " ".join(scopes)})
