"""Change parts of a resource with JSON Patch or FHIRPath Patch. https://hl7.org/fhir/R4/http.html#patch"""

from fhir_server.access import Caller, transact
from fhir_server.fhir import codec
from fhir_server.fhir.fhirpath_patch import apply_fhirpath_patch
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.patch import apply_patch
from fhir_server.interactions import update
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.conditional import criteria, one
from fhir_server.interactions.draft import Draft, draft
from fhir_server.interactions.preconditions import require_match
from fhir_server.interactions.profiles import require_judged
from fhir_server.interactions.visible import current, gone, not_found
from fhir_server.server import Server
from fhir_server.store.seam import Stored, Tx


async def patch(server: Server, caller: Caller, ask: Ask) -> Answer:
    """200 with the new version; FhirError 422 if an operation fails, 404 or 410 if there is nothing to patch."""
    now = server.clock()
    seen = await server.store.read(ask.type, ask.id, caller.permit(ask.type, "u"))
    made = None
    if seen is not None and not seen.deleted:
        require_match(ask.if_match, seen)
        made = patched(server, seen, ask)
    ready = (seen, made)
    return await transact(server, caller, lambda tx: apply(tx, server, caller, ask, now, ready))


async def conditional_patch(server: Server, caller: Caller, ask: Ask) -> Answer:
    """Patch the one match of the criteria; FhirError 404 for none, 412 for several."""
    query, now = criteria(server, caller, ask.type, ask.query), server.clock()

    async def work(tx: Tx) -> Answer:
        match = await one(tx.search, query)
        if match is None:
            raise refuse(404, "not-found", f"No {ask.type} meets the criteria.")
        only = Ask(type=ask.type, id=match.id, patch=ask.patch, if_match=ask.if_match)
        return await apply(tx, server, caller, only, now)

    return await transact(server, caller, work)


async def apply(
    tx: Tx,
    server: Server,
    caller: Caller,
    ask: Ask,
    now: int,
    ready: tuple[Stored | None, Draft | None] = (None, None),
) -> Answer:
    """Write the patched resource; `ready`: a draft made beforehand from a version that may still be current."""
    before = await current(tx, caller, ask.type, ask.id, "u")
    if before is None:
        raise not_found(ask.type, ask.id)
    if before.deleted:
        raise gone(ask.type, ask.id)
    require_match(ask.if_match, before)
    seen, made = ready
    if made is None or seen is None or seen.version != before.version:
        made = patched(server, before, ask)
    return await update.apply(tx, caller, made, ask.id, now, Ask(), "PATCH")


def patched(server: Server, before: Stored, ask: Ask) -> Draft:
    """The draft of the next version. A FHIRPath Patch is a Parameters resource, a JSON Patch an array.

    Raises Unjudged where profiles are checked.
    """
    resource = codec.decode(before.body)
    if isinstance(ask.patch, dict) and "resourceType" in ask.patch:
        changed = apply_fhirpath_patch(server.definitions, resource, ask.patch)
    else:
        changed = apply_patch(resource, ask.patch)
    made = draft(server, changed, ask.id)
    require_judged(server, changed)
    return made
