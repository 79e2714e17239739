"""Read a resource as it is now. https://hl7.org/fhir/R4/http.html#read"""

from fhir_server.access import READ, Caller
from fhir_server.access.limits import Partly
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.preconditions import not_modified
from fhir_server.interactions.subset import narrowed
from fhir_server.interactions.visible import gone, not_found
from fhir_server.search.predicate import Or
from fhir_server.server import Server
from fhir_server.store.seam import Stored


async def read(server: Server, caller: Caller, ask: Ask) -> Answer:
    """The stored bytes; 304 when the client has them; FhirError 404 or 410. `_summary` and `_elements` are honoured."""
    stored = await server.store.read(ask.type, ask.id, caller.permit(ask.type, READ))
    if stored is None and caller.partly is not None:
        stored = await _in_part(server, caller.partly, ask)
    if stored is None:
        raise not_found(ask.type, ask.id)
    if stored.method == "DELETE":
        raise gone(ask.type, ask.id)
    if (ask.if_none_match or ask.if_modified_since) and not_modified(stored, ask.if_none_match, ask.if_modified_since):
        return Answer(304, b"", stored)
    return Answer(200, narrowed(server, ask, stored.body) if ask.query else stored.body, stored)


async def _in_part(server: Server, partly: Partly, ask: Ask) -> Stored | None:
    """A resource that the caller may have in part: without identity by the name they know it under, else by its id."""
    id = partly.names.original(ask.type, ask.id)
    for known, hidden in ((id, True), (ask.id, False)):
        permits = [permits(ask.type, READ) for limits, permits in partly.permits.items() if limits.identity is hidden]
        if known is not None and permits:
            found = await server.store.read(ask.type, known, Or(tuple(permits)))
            if found is not None and not found.deleted:
                return partly.show(found)
    return None
