"""Whom a Group names or describes, and who may know. https://hl7.org/fhir/R4/group.html

A Group lists its members, or says by searches whom it means, or by the criteria of a trial (docs/matching.md). What it
describes is looked up when the export begins, among those whom the caller may read, by what they may read of them.
https://hl7.org/fhir/uv/bulkdata/StructureDefinition-bulk-cohort-group.html
"""

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from fhir_server.access import READ, Caller
from fhir_server.access.asking import caller_for
from fhir_server.export.members import kinds_of, links
from fhir_server.export.rows import as_of, permitted
from fhir_server.export.wish import read_query
from fhir_server.fhir.codec import Resource, decode
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.fhir.references import parse
from fhir_server.interactions.lookup import parsed
from fhir_server.interactions.may import require
from fhir_server.matching.cohort import eligible
from fhir_server.search.predicate import EVERYTHING, NOTHING, And, Has, Or, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored

FILTER = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/member-filter"
QUERY = "application/x-fhir-query"
OF_GROUP = "Group.modifierExtension"


class _Registered(msgspec.Struct, frozen=True):
    """What is needed here of State `client/[client_id]`: the most that the client may be granted."""

    scopes: tuple[str, ...] = ()


async def read_group(server: Server, caller: Caller, id: str, at: int | None = None) -> Resource:
    """A Group at a time (None: now). Raises FhirError 403 for a caller without any right to read Groups, 404 if
    there is no such Group that the caller may read."""
    stored: Stored | None = await server.store.read("Group", id, await _readable(server, caller))
    if stored is not None and not stored.deleted and at is not None and stored.updated > at:
        stored = await as_of(server, "Group", id, at)
    if stored is None or stored.deleted:
        raise refuse(404, "not-found", f"There is no Group/{id[:64]} in this store.")
    found: Resource = decode(stored.body)
    return found


async def members(server: Server, caller: Caller, group: Resource) -> list[str]:
    """The ids of the patients whom a Group lists as active members or describes, each once.

    Raises FhirError 422 if it describes them in a way that cannot be judged."""
    listed = _listed(server, group)
    filters = [await filter_of(server, caller, group, query) for query in queries(group)]
    described = not listed and bool(group.get("characteristic"))
    if not filters and not described:
        return list(listed)
    where = permitted(caller, "Patient", And(tuple(filters)) if filters else EVERYTHING, NOTHING)
    if described:
        return await eligible(server, caller, group["id"], where)
    found = [row.id async for row in server.store.scan(Query(("Patient",), where))]
    return [id for id in found if id in listed] if listed or group.get("actual") else found


def queries(group: Resource) -> Iterator[str]:
    """The searches by which a Group says whom it means. Raises FhirError 422 for what may mean something else."""
    for extension in group.get("modifierExtension", ()):
        expression = extension.get("valueExpression", {})
        if extension.get("url") == FILTER and expression.get("language") == QUERY and expression.get("expression"):
            yield expression["expression"]
        elif extension.get("url") == FILTER:
            raise refuse(422, "not-supported", f"A member-filter is an expression in {QUERY}.", OF_GROUP)
        elif not group.get("characteristic"):  # those of criteria are judged with them
            raise refuse(422, "not-supported", "The Group has a modifierExtension that is not known.", OF_GROUP)


async def filter_of(server: Server, caller: Caller, group: Resource, query: str) -> Predicate:
    """The patients whom one search means: it is about them, or about what belongs to them. Raises FhirError 422."""
    type, pairs, forming = read_query(query)
    if (
        group.get("type") != "person"
        or type not in kinds_of(server.definitions, "patient").first
        or not pairs
        or forming
    ):
        text = (
            f"member-filter {query[:80]!r}: a Group of persons is found by Patient?..., or by what belongs to patients."
        )
        raise refuse(422, "not-supported", text, OF_GROUP)
    try:
        where = (await parsed(server, caller, server.store.search, type, pairs, False, server.clock())).where
    except FhirError as error:
        text = f"member-filter {query[:80]!r} cannot be searched: {error.issues[0].diagnostics}"
        raise refuse(422, "not-supported", text, OF_GROUP) from None
    if type == "Patient":
        return where
    return Or(tuple(Has(type, link, where) for link in links(server.definitions, type)))


def _listed(server: Server, group: Resource) -> dict[str, None]:
    ids: dict[str, None] = {}
    for member in group.get("member", ()):
        target = parse(member.get("entity", {}).get("reference", ""), server.settings.base)
        if target.type == "Patient" and not member.get("inactive"):
            ids[target.id] = None
    return ids


async def _readable(server: Server, caller: Caller) -> Predicate:
    """Which Groups the caller may read. Clients ask for tokens for the types that they want exported, and Group is
    seldom one of them: then what they are registered for counts. Raises FhirError 403 if that is none either."""
    if not caller.may("Group", READ) and caller.grant is not None:
        found = await server.store.get_state(f"client/{caller.grant.client}")
        if found is not None:
            scopes = msgspec.json.decode(found[0], type=_Registered).scopes
            caller = await caller_for(server, replace(caller.grant, scopes=scopes))
    require(caller, "Group", READ)
    return caller.permit("Group", READ)
