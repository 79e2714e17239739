"""The authorization endpoint and the pages after it: sign in, pick a patient, consent.
https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code

The request is kept in State under an id that travels with the pages; what the person may do with it is decided anew
on each of them, from the session, never from a field of a form.
"""

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth import attempts, limits, patients, session, users
from fhir_server.auth.audited import acting
from fhir_server.auth.clients import client_of
from fhir_server.auth.code import granted
from fhir_server.auth.consent import choices, chosen
from fhir_server.auth.flow import Flow, Refused, Sent, begun, ended, flow_of, needs_patient
from fhir_server.auth.page import form, onward, page, pairs, posted
from fhir_server.auth.patients import Choice
from fhir_server.auth.records import Client, User
from fhir_server.auth.session import Visit
from fhir_server.fhir.outcome import FhirError
from fhir_server.server import Server

NOBODY = Choice("", "")


async def authorize(server: Server, request: Request) -> Response:
    """GET and POST /auth/authorize: check the request, then go on where our cookie is sent along."""
    limits.count(server, limits.address(request))
    given = await form(request) if request.method == "POST" else pairs(request.url.query.encode())
    return onward("continue", flow=await begun(server, given))


async def proceed(server: Server, request: Request) -> Response:
    """GET /auth/continue: whatever has to be asked next."""
    id = request.query_params.get("flow", "")
    flow, seen = await flow_of(server, id), await session.visit(server, request)
    user = _person(seen, flow)
    if user is None:
        return await _login_page(server, seen, id, flow)
    acting(request, flow.client, user.fhir_user)
    patient = await _patient(server, user, flow)
    if patient is None:
        return await _picker(server, seen, id, flow)
    acting(request, flow.client, user.fhir_user, patient.id)
    return await _consent(server, seen, id, flow, patient)


async def login(server: Server, request: Request) -> Response:
    """GET and POST /auth/login: a password for a session, with a new cookie."""
    if request.method != "POST":
        return page(server, await session.visit(server, request), "login.html", flow="", client=None, wrong="", name="")
    seen, fields, _ = await posted(server, request)
    id, name = fields.get("flow", ""), fields.get("name", "")
    flow = await flow_of(server, id) if id else None
    address, client = limits.address(request), flow.client if flow else ""
    acting(request, client)
    if not await attempts.counted(server, name, address):
        text = "There were too many attempts. Try again in a quarter of an hour."
        return await _login_page(server, seen, id, flow, text, name, 429)
    user = await users.verified(server.store, name, fields.get("password", ""))
    if user is None:
        return await _login_page(server, seen, id, flow, "The name or the password is wrong.", name, 403)
    acting(request, client, user.fhir_user)
    await attempts.forgiven(server, name, address)
    await session.end(server, seen)
    response = onward("continue", flow=id) if id else onward("apps")
    session.give(server, response, (await session.begin(server, user)).cookie)
    return response


async def search_patients(server: Server, request: Request) -> Response:
    """POST /auth/patients: the picker with what was found."""
    seen, fields, _ = await posted(server, request)
    id = fields.get("flow", "")
    flow = await flow_of(server, id)
    user = _person(seen, flow)
    if user is None:
        return onward("continue", flow=id)
    name, born = fields.get("name", ""), fields.get("born", "")
    acting(request, flow.client, user.fhir_user)
    try:
        rows, more = await patients.found(server, user, name, born)
    except PermissionError:
        raise Refused(403, "You cannot pick a patient", "Only health professionals can.") from None
    except FhirError:
        return await _picker(server, seen, id, flow, name, born, wrong="Write the date as year-month-day: 1970-12-31.")
    acting(request, flow.client, user.fhir_user, others=[row.id for row in rows])
    return await _picker(server, seen, id, flow, name, born, rows, more)


async def pick_patient(server: Server, request: Request) -> Response:
    """POST /auth/patient: the consent page for the patient that was picked."""
    seen, fields, _ = await posted(server, request)
    id = fields.get("flow", "")
    flow = await flow_of(server, id)
    user = _person(seen, flow)
    if user is None:
        return onward("continue", flow=id)
    acting(request, flow.client, user.fhir_user)
    patient = await _settled(server, user, flow, fields.get("patient", ""))
    acting(request, flow.client, user.fhir_user, patient.id)
    return await _consent(server, seen, id, flow, patient)


async def decide(server: Server, request: Request) -> Response:
    """POST /auth/consent: a code for what was granted, or access_denied."""
    seen, fields, ticked = await posted(server, request)
    id = fields.get("flow", "")
    flow = await flow_of(server, id)
    if fields.get("decision") != "allow":
        await ended(server, id)
        raise Sent(server, flow, error="access_denied", error_description="The person refused.")
    user = _person(seen, flow)
    if user is None:
        return onward("continue", flow=id)
    acting(request, flow.client, user.fhir_user)
    patient = await _settled(server, user, flow, fields.get("patient", ""))
    acting(request, flow.client, user.fhir_user, patient.id)
    scopes = chosen(choices(server.definitions, flow.scopes), ticked)
    if not scopes:
        return await _consent(server, seen, id, flow, patient, "Tick at least one line, or refuse.")
    client = await _client(server, flow)
    if not await ended(server, id):
        raise Refused(400, "This request is over", "It was answered already. Start again in the app.")
    raise Sent(server, flow, code=await granted(server, client, flow, scopes, seen, patient.id))


def _person(seen: Visit, flow: Flow) -> User | None:
    """The signed-in user, unless the launch is another's."""
    wanted = flow.launch.user if flow.launch else ""
    return seen.user if seen.user is not None and wanted in ("", seen.user.fhir_user) else None


async def _patient(server: Server, user: User, flow: Flow) -> Choice | None:
    """The patient that the request is about, NOBODY if it is about none, None if one is to be picked.

    Raises Sent: the launch is with a patient whom the user may not see, or there is nobody to choose.
    """
    launched = flow.launch.patient if flow.launch else ""
    if launched:
        patient = await patients.visible(server, user, launched)
    elif not needs_patient(flow.scopes):
        return NOBODY
    elif user.fhir_user.startswith("Practitioner/"):
        return None
    else:
        patient = await patients.own(server, user)
    if patient is None:
        raise Sent(server, flow, error="access_denied", error_description="The person has no such patient.")
    return patient


async def _settled(server: Server, user: User, flow: Flow, picked: str) -> Choice:
    """The same, with the pick of the person; Refused if they may not open that record."""
    patient = await _patient(server, user, flow)
    if patient is None:
        patient = await patients.visible(server, user, picked) if picked else None
    if patient is None:
        raise Refused(403, "There is no such patient for you", "Go back and pick one from the list.")
    return patient


async def _client(server: Server, flow: Flow) -> Client:
    client = await client_of(server.store, flow.client)
    if client is None:
        raise Refused(400, "This app is not registered here", "It was removed in the meantime.")
    return client


async def _login_page(
    server: Server, seen: Visit, id: str, flow: Flow | None, wrong: str = "", name: str = "", status: int = 200
) -> Response:
    client = await _client(server, flow) if flow else None
    if flow and seen.user is not None and not wrong:
        wrong = "The record system opened this app for somebody else. Sign in as that person."
    redirect = flow.redirect if flow else ""
    return page(server, seen, "login.html", status, redirect, flow=id, client=client, wrong=wrong, name=name)


async def _picker(
    server: Server,
    seen: Visit,
    id: str,
    flow: Flow,
    name: str = "",
    born: str = "",
    rows: list[Choice] | None = None,
    more: bool = False,
    wrong: str = "",
) -> Response:
    values = {"name": name, "born": born, "rows": rows, "more": more, "wrong": wrong}
    status = 400 if wrong else 200
    client = await _client(server, flow)
    return page(server, seen, "picker.html", status, flow.redirect, flow=id, client=client, **values)


async def _consent(server: Server, seen: Visit, id: str, flow: Flow, patient: Choice, wrong: str = "") -> Response:
    values = {"patient": patient, "choices": choices(server.definitions, flow.scopes), "wrong": wrong}
    status = 400 if wrong else 200
    client = await _client(server, flow)
    return page(server, seen, "consent.html", status, flow.redirect, flow=id, client=client, **values)
