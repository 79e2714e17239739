"""Whom a Group names, and who may know. https://hl7.org/fhir/R4/group.html"""

import msgspec
from msgspec.structs import replace

from fhir_server.access import READ, Caller
from fhir_server.access.asking import caller_for
from fhir_server.export.rows import as_of
from fhir_server.fhir.codec import decode
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import parse
from fhir_server.interactions.may import require
from fhir_server.search.predicate import Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Stored


class _Registered(msgspec.Struct, frozen=True):
    """What is needed here of State `client/[client_id]`: the most that the client may be granted."""

    scopes: tuple[str, ...] = ()


async def active_members(server: Server, caller: Caller, id: str, at: int | None = None) -> list[str]:
    """The ids of a Group's active patients, each once, at a time (None: now). Raises FhirError 403 for a caller without
    any right to read Groups, 404 if there is no such Group that the caller may read."""
    stored: Stored | None = await server.store.read("Group", id, await _readable(server, caller))
    if stored is not None and not stored.deleted and at is not None and stored.updated > at:
        stored = await as_of(server, "Group", id, at)
    if stored is None or stored.deleted:
        raise refuse(404, "not-found", f"There is no Group/{id[:64]} in this store.")
    ids: dict[str, None] = {}
    for member in decode(stored.body).get("member", ()):
        target = parse(member.get("entity", {}).get("reference", ""), server.settings.base)
        if target.type == "Patient" and not member.get("inactive"):
            ids[target.id] = None
    return list(ids)


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
