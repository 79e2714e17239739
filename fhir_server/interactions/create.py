"""Create a resource under an id of the server's choice. https://hl7.org/fhir/R4/http.html#create"""

from fhir_server.access import Caller, transact
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.conditional import criteria, one, query_pairs
from fhir_server.interactions.draft import Draft, change, draft, require_resource
from fhir_server.interactions.profiles import require_profiles
from fhir_server.server import Server
from fhir_server.store.seam import Query, Tx


async def create(server: Server, caller: Caller, ask: Ask) -> Answer:
    """201 with the new resource; with If-None-Exist 200 with the one that matches, FhirError 412 for several."""
    resource = require_resource(ask.resource, ask.type)
    condition = None
    if ask.if_none_exist is not None:
        condition = criteria(server, caller, ask.type, query_pairs(ask.if_none_exist.removeprefix(f"{ask.type}?")))
    await require_profiles(server, (resource,))
    id, now = server.new_id(), server.clock()
    made = draft(server, resource, id)
    return await transact(server, caller, lambda tx: apply(tx, made, id, now, condition))


async def apply(tx: Tx, made: Draft, id: str, now: int, condition: Query | None = None) -> Answer:
    """Write the draft as version 1 of `id`, unless a resource meets the condition."""
    if condition is not None:
        existing = await one(tx.search, condition)
        if existing is not None:
            return Answer(200, existing.body, existing, written=True)
    stored = await tx.write(change(made, id, 1, max(now, tx.began), "POST"))
    return Answer(201, stored.body, stored, written=True)
