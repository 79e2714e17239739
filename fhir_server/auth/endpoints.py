"""The endpoints that programs call: token, introspection, revocation, keys. https://hl7.org/fhir/smart-app-launch/app-launch.html"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.auth import limits
from fhir_server.auth.audited import acting
from fhir_server.auth.clients import authenticate
from fhir_server.auth.errors import OAuthError, invalid_client, invalid_request, json
from fhir_server.auth.forms import raw_headers, read_form
from fhir_server.auth.grants import GRANTS
from fhir_server.auth.held import Held, held
from fhir_server.auth.keys import CACHED, published
from fhir_server.auth.records import Client
from fhir_server.auth.refresh import named
from fhir_server.auth.tokens import grant_of, subject
from fhir_server.server import Server


async def token(server: Server, request: Request) -> Response:
    """POST /auth/token: one of GRANTS, for an authenticated client."""
    form = await read_form(request)
    grant = GRANTS.get(form.get("grant_type", ""))
    if grant is None:
        problem = "unsupported_grant_type" if "grant_type" in form else "invalid_request"
        raise OAuthError(400, problem, f"grant_type must be one of {', '.join(GRANTS)}.")
    who = limits.address(request)
    limits.count(server, who)
    try:
        headers = raw_headers(request)
        form = await named(server, headers, form)
        client = await authenticate(server, headers, form)
        acting(request, client.id, role=client.role)
        limits.count(server, f"client/{client.id}")
        given = await grant(server, client, form)
        acting(request, client.id, patient=given.get("patient", ""), role=client.role)
        return json(given)
    except OAuthError:
        limits.failed(server, who)
        raise


async def introspect(server: Server, request: Request) -> Response:
    """POST /auth/introspect: whether a token of the caller's lives, and what for; of anybody's, to an operator."""
    form, who = await read_form(request), limits.address(request)
    limits.count(server, who)
    try:
        client, all = await _introspector(server, request, form)
        acting(request, client)
        limits.count(server, f"client/{client}")
    except OAuthError:
        limits.failed(server, who)
        raise
    if "token" not in form:
        raise invalid_request("The parameter token is missing.")
    found = await held(server, form["token"])
    if found is None or not (all or found.authorization.client == client):
        return json({"active": False})
    acting(request, client, patient=found.authorization.patient)
    return json(_described(server, found))


async def revoke(server: Server, request: Request) -> Response:
    """POST /auth/revoke: withdraw a token of the client's own; 200 also for what is none."""
    form, who = await read_form(request), limits.address(request)
    limits.count(server, who)
    try:
        client = await authenticate(server, raw_headers(request), form)
        acting(request, client.id, role=client.role)
        limits.count(server, f"client/{client.id}")
    except OAuthError:
        limits.failed(server, who)
        raise
    if "token" not in form:
        raise invalid_request("The parameter token is missing.")
    found = await held(server, form["token"])
    if found is not None and found.authorization.client == client.id:
        made = found.authorization
        acting(request, client.id, made.user, made.patient, client.role)
        await found.withdraw()
    return json({})


async def jwks(server: Server, request: Request) -> Response:
    """GET /auth/jwks: the keys by which others check our id tokens."""
    keys = await published(server.store, server.clock())
    return JSONResponse(keys, headers={"Cache-Control": f"public, max-age={CACHED}"})


async def _introspector(server: Server, request: Request, form: dict[str, str]) -> tuple[str, bool]:
    """The client that asks, and whether it may see tokens of others. Raises OAuthError 401 invalid_client.

    It authenticates, or shows an access token of its own: the way of public clients, whose id alone proves nothing.
    """
    headers = raw_headers(request)
    shown = headers.get(b"authorization", b"")
    if shown[:7].lower() == b"bearer ":
        grant = await grant_of(server, shown[7:].strip().decode("latin-1"))
        if grant is None:
            raise OAuthError(
                401,
                "invalid_client",
                "The access token is not valid.",
                {"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        return grant.client, grant.role == "operator" and not grant.user
    client: Client = await authenticate(server, headers, form)
    if client.kind == "public":
        raise invalid_client("A public client shows an access token of its own as Bearer.")
    return client.id, client.role == "operator"


def _described(server: Server, found: Held) -> dict[str, Any]:
    """What RFC 7662 and SMART say of a token that lives."""
    made = found.authorization
    told: dict[str, Any] = {
        "active": True,
        "scope": " ".join(found.scopes),
        "client_id": made.client,
        "exp": found.expires // 1_000_000,
    }
    if made.patient:
        told["patient"] = made.patient
    if made.encounter:
        told["encounter"] = made.encounter
    if "openid" in found.scopes:
        told |= {"iss": server.settings.issuer, "sub": subject(made)}
        if made.user and "fhirUser" in found.scopes:
            told["fhirUser"] = f"{server.settings.base}/{made.user}"
    return told
