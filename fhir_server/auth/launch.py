"""A launch from an EHR: the EHR says which patient is open, and the app gets an opaque value for it.
https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-ehr-launch"""

import re
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.audited import acting
from fhir_server.auth.clients import client_of
from fhir_server.auth.errors import OAuthError, invalid_request, json
from fhir_server.auth.forms import read_bytes
from fhir_server.auth.records import digest, fresh, load, save
from fhir_server.auth.tokens import grant_of
from fhir_server.fhir.codec import decode
from fhir_server.fhir.references import parse
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server

LIFETIME = 300  # seconds
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_USER = re.compile(r"(Practitioner|Patient|RelatedPerson)/[A-Za-z0-9\-.]{1,64}", re.ASCII)


class Launch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an EHR asks for in POST /auth/launch, and what is kept of it. State key `launch/[digest of the value]`."""

    client_id: str
    patient: str = ""
    encounter: str = ""
    intent: str = ""
    user: str = ""  # who alone may go on with it, as a reference
    need_patient_banner: bool = True
    expires: int = 0


async def launch(server: Server, request: Request) -> Response:
    """POST /auth/launch: a registered EHR says which patient is open in which app. Raises OAuthError 400, 401, 403."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    grant = await grant_of(server, token.strip()) if kind.lower() == "bearer" else None
    if grant is None:
        told = {"WWW-Authenticate": "Bearer" + (' error="invalid_token"' if token else "")}
        raise OAuthError(401, "invalid_token", "Show an access token of the EHR's own as Bearer.", told)
    acting(request, grant.client, role=grant.role)
    if grant.role not in ("ehr", "operator") or grant.user:
        raise OAuthError(403, "access_denied", "Apps are launched by a client with the role ehr or operator.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise invalid_request("The body must be application/json.")
    try:
        return json(await prepared(server, await read_bytes(request)), 201)
    except ValueError as error:
        raise invalid_request(str(error)) from None


async def prepared(server: Server, body: str) -> dict[str, Any]:
    """Make a launch value from the JSON that an EHR sends: the value, and where its browser goes with it.

    Raises ValueError, with the reason, for what cannot be launched.
    """
    try:
        launch = msgspec.json.decode(body, type=Launch)
    except msgspec.DecodeError as error:
        raise ValueError(f"The body is not a launch: {error}") from None
    client = await client_of(server.store, launch.client_id)
    if client is None or not client.launch or "authorization_code" not in client.grants:
        raise ValueError("client_id names no app that is registered with a launch address.")
    if launch.user and not _USER.fullmatch(launch.user):
        raise ValueError("user must be a reference such as Practitioner/1.")
    if not await _exists(server, "Patient", launch.patient):
        raise ValueError("patient must be the id of a Patient here.")
    if launch.encounter and await _patient_of(server, launch.encounter) != launch.patient:
        raise ValueError("encounter must be the id of an Encounter of that patient.")
    value, expires = fresh(), server.clock() + LIFETIME * 1_000_000
    kept = msgspec.structs.replace(launch, expires=expires)
    await save(server.store, f"launch/{digest(value)}", kept, expires=expires)
    query = urlencode({"iss": server.settings.base, "launch": value})
    url = client.launch + ("&" if urlsplit(client.launch).query else "?") + query
    return {"launch": value, "url": url, "expires_in": LIFETIME}


async def take(server: Server, value: str, client: str) -> Launch | None:
    """The launch of a value, once and for its client only; None if there is none (any more)."""
    key = f"launch/{digest(value)}"
    found = await load(server.store, key, Launch)
    if found is None or found[0].client_id != client or not await server.store.delete_state(key):
        return None
    return found[0] if found[0].expires > server.clock() else None


async def _exists(server: Server, type: str, id: str) -> bool:
    if not _ID.fullmatch(id):
        return False
    found = await server.store.read(type, id, EVERYTHING)
    return found is not None and not found.deleted


async def _patient_of(server: Server, encounter: str) -> str:
    if not await _exists(server, "Encounter", encounter):
        return ""
    found = await server.store.read("Encounter", encounter, EVERYTHING)
    subject = decode(found.body).get("subject", {}).get("reference", "") if found and found.body else ""
    reference = parse(subject, server.settings.base)
    return reference.id if reference.local and reference.type == "Patient" else ""
