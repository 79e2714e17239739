"""Update a resource, or create it under the client's id; conditionally by search. https://hl7.org/fhir/R4/http.html#update"""

from typing import Any

from fhir_server.access import Caller, transact
from fhir_server.fhir.capability import IMMUTABLE
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.conditional import criteria, one
from fhir_server.interactions.draft import Draft, change, draft, require_resource
from fhir_server.interactions.may import immutable
from fhir_server.interactions.preconditions import require_match, require_none
from fhir_server.interactions.profiles import require_profiles
from fhir_server.interactions.visible import overwritten
from fhir_server.server import Server
from fhir_server.store.seam import Stored, Tx


async def update(server: Server, caller: Caller, ask: Ask) -> Answer:
    """200 with the new version, 201 if there was none; FhirError 400 for another id in the body, 412 for If-Match."""
    resource = require_resource(ask.resource, ask.type)
    require_id(resource, ask.id)
    await require_profiles(server, (resource,))
    made, now = draft(server, resource, ask.id), server.clock()
    return await transact(server, caller, lambda tx: apply(tx, caller, made, ask.id, now, ask))


async def conditional_update(server: Server, caller: Caller, ask: Ask) -> Answer:
    """Update the one match of the criteria; none: create, under the body's id if it is free; several: FhirError 412."""
    resource = require_resource(ask.resource, ask.type)
    query = criteria(server, caller, ask.type, ask.query)
    await require_profiles(server, (resource,))
    fresh, now = resource.get("id"), server.clock()
    if fresh is None:
        fresh = server.new_id()
    seen = await one(server.store.search, query)
    made = draft(server, resource, target(resource, seen, fresh))

    async def work(tx: Tx) -> Answer:
        match = await one(tx.search, query)
        id = target(resource, match, fresh)
        again = made if (match and match.id) == (seen and seen.id) else draft(server, resource, id)
        if match is None and "id" in resource:
            await require_free(tx, caller, ask.type, id)
        return await apply(tx, caller, again, id, now, ask, ours=match is None and "id" not in resource)

    return await transact(server, caller, work)


async def require_free(tx: Tx, caller: Caller, type: str, id: str) -> None:
    """Raise FhirError 409 if there is a resource, which did not meet the criteria, under the id that a body chose.

    A caller from whom some of the type is hidden must not learn that: `overwritten` refuses them either way.
    """
    if caller.unrestricted(type, "rc") and await tx.read(type, id) is not None:
        raise refuse(409, "duplicate", f"{type}/{id} exists, but does not meet the criteria.")


def target(resource: Resource, match: Stored | None, fresh: str) -> str:
    """The id that a conditional update writes to. Raises FhirError 400 if the body names another than the match."""
    if match is None:
        return fresh
    if resource.get("id", match.id) != match.id:
        raise refuse(
            400, "invalid", f"The body's id differs from the match, {match.type}/{match.id}.", f"{match.type}.id"
        )
    return match.id


async def apply(
    tx: Tx, caller: Caller, made: Draft, id: str, now: int, conditions: Ask, method: str = "PUT", ours: bool = False
) -> Answer:
    """Write the draft as the next version of `id` if the conditions (If-Match, If-None-Match) hold. `ours`: the server
    drew the id, so there is nothing before it."""
    before = None if ours else await overwritten(tx, caller, made.type, id)
    if before is not None and made.type in IMMUTABLE:
        raise immutable(made.type)
    require_match(conditions.if_match, before)
    require_none(conditions.if_none_match, before)
    version, updated = 1, max(now, tx.began)
    if before is not None:
        version, updated = before.version + 1, max(updated, before.updated)
    stored = await tx.write(change(made, id, version, updated, method))
    return Answer(201 if before is None or before.deleted else 200, stored.body, stored, written=True)


def require_id(resource: Resource, id: str) -> None:
    """Raise FhirError 400 unless the body has the id of the URL."""
    given: Any = resource.get("id")
    if given != id:
        said = "no id" if given is None else f"the id {str(given)[:64]!r}"
        expression = f"{resource['resourceType']}.id"
        raise refuse(400, "invalid", f"The body has {said}, but the URL says {id!r}.", expression)
