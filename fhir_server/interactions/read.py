"""Read a resource as it is now. https://hl7.org/fhir/R4/http.html#read"""

from fhir_server.access import READ, Caller
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.preconditions import not_modified
from fhir_server.interactions.subset import narrowed
from fhir_server.interactions.visible import gone, not_found
from fhir_server.server import Server


async def read(server: Server, caller: Caller, ask: Ask) -> Answer:
    """The stored bytes; 304 when the client has them; FhirError 404 or 410. `_summary` and `_elements` are honoured."""
    stored = await server.store.read(ask.type, ask.id, caller.permit(ask.type, READ))
    if stored is None:
        raise not_found(ask.type, ask.id)
    if stored.method == "DELETE":
        raise gone(ask.type, ask.id)
    if (ask.if_none_match or ask.if_modified_since) and not_modified(stored, ask.if_none_match, ask.if_modified_since):
        return Answer(304, b"", stored)
    return Answer(200, narrowed(server, ask, stored.body) if ask.query else stored.body, stored)
