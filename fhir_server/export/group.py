"""Whom a Group names. https://hl7.org/fhir/R4/group.html"""

from fhir_server.access import READ, Caller
from fhir_server.export.rows import as_of
from fhir_server.fhir.codec import decode
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.fhir.references import parse
from fhir_server.server import Server
from fhir_server.store.seam import Stored


async def active_members(server: Server, caller: Caller, id: str, at: int | None = None) -> list[str]:
    """The ids of a Group's active patients, each once, at a time (None: now). Raises FhirError 404 if there is no such
    Group that the caller may read."""
    stored: Stored | None = await server.store.read("Group", id, caller.permit("Group", READ))
    if stored is not None and not stored.deleted and at is not None and stored.updated > at:
        stored = await as_of(server, "Group", id, at)
    if stored is None or stored.deleted:
        raise no_group(id)
    ids: dict[str, None] = {}
    for member in decode(stored.body).get("member", ()):
        target = parse(member.get("entity", {}).get("reference", ""), server.settings.base)
        if target.type == "Patient" and not member.get("inactive"):
            ids[target.id] = None
    return list(ids)


def no_group(id: str) -> FhirError:
    """The 404 of a Group that there is not, or that is hidden."""
    return refuse(404, "not-found", f"There is no Group/{id[:64]} in this store.")
