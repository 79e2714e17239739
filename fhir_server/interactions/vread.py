"""Read one version of a resource. https://hl7.org/fhir/R4/http.html#vread"""

from fhir_server.access import READ, Caller
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.subset import narrowed
from fhir_server.interactions.versions import was_visible
from fhir_server.interactions.visible import gone
from fhir_server.server import Server


async def vread(server: Server, caller: Caller, ask: Ask) -> Answer:
    """That version's bytes; FhirError 404, or 410 for the version that is a deletion."""
    number = int(ask.version) if ask.version.isascii() and ask.version.isdigit() and len(ask.version) < 16 else 0
    permit = caller.permit(ask.type, READ)
    stored = await server.store.read(ask.type, ask.id, permit, number) if number else None
    if stored is None or not await was_visible(server, caller, stored, READ):
        raise refuse(404, "not-found", f"There is no version {ask.version[:64]!r} of {ask.type}/{ask.id}.")
    if stored.deleted:
        raise gone(ask.type, ask.id)
    return Answer(200, narrowed(server, ask, stored.body), stored)
