"""What a caller may know of a resource inside a transaction. https://hl7.org/fhir/R4/security.html"""

from fhir_server.access import Caller, restrict
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.search.predicate import EVERYTHING, ID, Is
from fhir_server.store.seam import Query, Stored, Tx


async def current(tx: Tx, caller: Caller, type: str, id: str) -> Stored | None:
    """The current version, a deletion included; None if there never was one, or it is hidden from the caller."""
    stored = await tx.read(type, id)
    if stored is None or caller.permit == EVERYTHING:
        return stored
    where = restrict(Is(ID, (("id", "=", id),)), caller)
    return stored if not stored.deleted and (await tx.search(Query((type,), where, count=1))).rows else None


async def overwritten(tx: Tx, caller: Caller, type: str, id: str) -> Stored | None:
    """What an update replaces. Raises FhirError 404 if that is hidden: it must not be taken for a free id."""
    found = await current(tx, caller, type, id)
    if found is None and caller.permit != EVERYTHING and await tx.read(type, id) is not None:
        raise not_found(type, id)
    return found


def not_found(type: str, id: str) -> FhirError:
    """The 404 of an instance that does not exist, or is hidden: the two are answered alike."""
    return refuse(404, "not-found", f"There is no {type} with the id {id[:64]!r}.")


def gone(type: str, id: str) -> FhirError:
    """The 410 of a deleted instance."""
    return refuse(410, "deleted", f"{type}/{id} was deleted.")
