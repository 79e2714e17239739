"""My apps: what a person has allowed, and how to withdraw it.
https://hl7.org/fhir/smart-app-launch/conformance.html
"""

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth import patients, session
from fhir_server.auth.audited import acting
from fhir_server.auth.clients import client_of
from fhir_server.auth.consent import choices
from fhir_server.auth.page import onward, page, posted
from fhir_server.auth.records import Authorization, User
from fhir_server.auth.tokens import granted_to, revoke
from fhir_server.fhir.dates import instant
from fhir_server.server import Server


class App(NamedTuple):
    """One authorization as the page shows it."""

    id: str
    name: str
    patient: str
    made: str
    words: tuple[str, ...]


async def apps(server: Server, request: Request) -> Response:
    """GET /auth/apps lists, POST with `revoke` withdraws one."""
    said = ""
    if request.method == "POST":
        seen, fields, _ = await posted(server, request)
        if seen.user is None:
            return onward("login")
        mine = {id for id, _ in await granted_to(server, seen.user.name)}
        if fields.get("revoke", "") in mine:
            await revoke(server, fields["revoke"])
            said = "It is withdrawn."
    else:
        seen = await session.visit(server, request)
        if seen.user is None:
            return onward("login")
    user = seen.user
    rows = [await _app(server, user, id, one) for id, one in await granted_to(server, user.name)]
    return page(server, seen, "apps.html", apps=rows, said=said)


async def logout(server: Server, request: Request) -> Response:
    """POST /auth/logout: the session ends, and with it what was allowed for as long as it lasts."""
    seen, _, _ = await posted(server, request)
    if seen.user is not None:
        acting(request, "", seen.user.fhir_user)
        for id, one in await granted_to(server, seen.user.name):
            if one.session == seen.id:
                await revoke(server, id)
        await session.end(server, seen)
    return onward("login")


async def _app(server: Server, user: User, id: str, one: Authorization) -> App:
    client = await client_of(server.store, one.client)
    patient = await patients.visible(server, user, one.patient) if one.patient else None
    shown = patient.name if patient else ""
    words = tuple(choice.words for choice in choices(server.definitions, one.scopes))
    return App(id, client.name if client else one.client, shown, instant(one.made)[:10], words)
