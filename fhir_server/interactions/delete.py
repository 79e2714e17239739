"""Delete a resource; its history stays. https://hl7.org/fhir/R4/http.html#delete"""

from fhir_server.access import Caller, transact
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.conditional import criteria, one
from fhir_server.interactions.preconditions import require_match
from fhir_server.interactions.visible import current
from fhir_server.server import Server
from fhir_server.store.seam import Change, Tx


async def delete(server: Server, caller: Caller, ask: Ask) -> Answer:
    """204, also if it is deleted already or never was; FhirError 412 for a stale If-Match."""
    now = server.clock()
    return await transact(server, caller, lambda tx: apply(tx, caller, ask, now))


async def conditional_delete(server: Server, caller: Caller, ask: Ask) -> Answer:
    """Delete the one match of the criteria; 204 for none, FhirError 412 for several."""
    query, now = criteria(server, caller, ask.type, ask.query), server.clock()

    async def work(tx: Tx) -> Answer:
        match = await one(tx.search, query)
        if match is None:
            return Answer(204)
        return await apply(tx, caller, Ask(type=ask.type, id=match.id, if_match=ask.if_match), now)

    return await transact(server, caller, work)


async def apply(tx: Tx, caller: Caller, ask: Ask, now: int) -> Answer:
    """Write the deletion as the next version, unless there is nothing to delete."""
    before = await current(tx, caller, ask.type, ask.id, "d")
    require_match(ask.if_match, before)
    if before is None or before.deleted:
        return Answer(204, b"", before)
    updated = max(now, tx.began, before.updated)
    stored = await tx.write(Change(ask.type, ask.id, before.version + 1, updated, "DELETE", b"", ()))
    return Answer(204, b"", stored)
