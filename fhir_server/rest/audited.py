"""What of a request and its answer the journal is told. https://profiles.ihe.net/ITI/BALP/

The endpoint leaves in the scope what it found out: the interaction, the variable parts of the path (`about`), the
grant of the caller, what was asked and answered. Whatever is missing was not reached: the request was refused before.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.types import Scope

from fhir_server.access.grant import Grant
from fhir_server.access.pseudonyms import Pseudonyms
from fhir_server.audit.record import Access, access, pairs_in, parameter_names, patients_asked, patients_in
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import FhirError
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.entries import read_entry
from fhir_server.interactions.table import Shapes
from fhir_server.rest.respond import Message
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server

BUNDLES = "transaction"  # the interaction of a Bundle POSTed to the base: its entries are the accesses
BREATH = 50  # entries looked at before other requests get a turn
_NOTHING = Ask()
_LOCATION = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})/_history/\d+$", re.ASCII)


class _Response(msgspec.Struct, frozen=True):
    status: str = ""
    location: str = ""
    etag: str = ""


class _Entry(msgspec.Struct, frozen=True):
    resource: msgspec.Raw = msgspec.Raw()
    response: _Response = _Response()


class _Answered(msgspec.Struct, frozen=True):
    entry: list[_Entry] = []


async def accesses(server: Server, shapes: Shapes, scope: Scope, message: Message) -> Sequence[Access]:
    """The accesses that a request was: several for a Bundle, none for the public CapabilityStatement."""
    name, status = scope.get("interaction", ""), message[0]
    if name == "capabilities" and status < 400:
        return ()
    ask: Ask | None = scope.get("ask")
    if name == BUNDLES and ask is not None and (entries := _entries(ask)):
        return await _each(server, shapes, scope, status, entries, scope.get("answer"))
    answer: Answer | None = scope.get("answer")
    about, base = scope.get("about", {}), server.settings.base
    type, id, compartment = about.get("type", ""), about.get("id", ""), about.get("compartment", "")
    query = ask.query if ask is not None and status < 400 else ()
    said = pairs_in(ask.resource) if ask is not None and status < 400 and name[:1] == "$" else ()
    patients = patients_asked(type, id, compartment, (*query, *said))
    if compartment:
        id = ""  # of the compartment, not of what is looked for
    if answer is not None:
        if answer.body:
            patients += patients_in(answer.body, base)
        patients += answer.patients
        if answer.stored is not None:
            type, id = answer.stored.type, answer.stored.id
            if answer.stored.deleted:
                patients += await _before(server, type, id, answer.stored.version)
    names = parameter_names(server.definitions, query) if query else ()
    return (_access(server, scope, status, name, type, id, patients, names),)


def _access(
    server: Server,
    scope: Scope,
    status: int,
    name: str,
    type: str,
    id: str,
    patients: list[str],
    parameters: tuple[str, ...],
) -> Access:
    grant: Grant | None = scope.get("grant")
    names: Pseudonyms | None = scope.get("names")
    if names is not None:  # what reads as a pseudonym may be an id all the same: both are kept
        patients += [original for one in patients if (original := names.original("Patient", one))]
        id = names.original(type, id) or id if id else id
    client = scope.get("client")
    address = client[0] if client else ""
    return access(
        server.clock(), scope.get("request_id", ""), address, grant, status, name, type, id, patients, parameters
    )


async def _before(server: Server, type: str, id: str, version: int) -> list[str]:
    """The patients that a resource named before the version that deletes it."""
    stored = await server.store.read(type, id, EVERYTHING, version - 1) if version > 1 else None
    return [] if stored is None else patients_in(stored.body, server.settings.base)


def _entries(ask: Ask) -> list[Any]:
    found = ask.resource.get("entry") if ask.resource is not None else None
    return found if isinstance(found, list) else []


async def _each(
    server: Server, shapes: Shapes, scope: Scope, status: int, entries: list[Any], answer: Answer | None
) -> list[Access]:
    """One access for each entry. A transaction has by now rewritten its references to those that were stored."""
    responses: list[_Entry] = []
    if answer is not None and answer.status == 200 and answer.body:
        responses = msgspec.json.decode(answer.body, type=_Answered).entry
    found: list[Access] = []
    for number, raw in enumerate(entries[: server.settings.max_bundle]):
        told = responses[number] if number < len(responses) else _Entry()
        found.append(await _entry(server, shapes, scope, status, number, raw, told))
        if number % BREATH == BREATH - 1:
            await asyncio.sleep(0)
    return found


async def _entry(
    server: Server, shapes: Shapes, scope: Scope, status: int, number: int, raw: Any, told: _Entry
) -> Access:
    base, response = server.settings.base, told.response
    try:
        entry = read_entry(server, raw, number, shapes)
        name, ask = entry.row.name, entry.ask
    except FhirError:
        name, ask = "", _NOTHING
    status = int(response.status[:3]) if response.status[:3].isdecimal() else status
    query = ask.query if status < 400 else ()
    type, id = ask.type, "" if ask.compartment else ask.id
    said = pairs_in(ask.resource) if status < 400 and name[:1] == "$" else ()
    patients = patients_asked(ask.type, ask.id, ask.compartment, (*query, *said))
    if place := _LOCATION.search(response.location):
        type, id = place[1], place[2]
        patients += [id] if type == "Patient" else []
    for resource in (ask.resource, ask.patch):
        if resource:
            patients += patients_in(codec.encode(resource), base)
    patients += patients_in(bytes(told.resource), base)
    if name == "delete" and status < 400 and id and (version := response.etag[3:-1]).isdecimal():
        patients += await _before(server, type, id, int(version))
    names = parameter_names(server.definitions, query) if query else ()
    return _access(server, scope, status, name, type, id, patients, names)
