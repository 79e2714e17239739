"""What a caller may know of a resource inside a transaction. https://hl7.org/fhir/R4/security.html"""

from fhir_server.access import Caller, forbidden, restrict
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.search.predicate import ID, Is
from fhir_server.store.seam import Query, Stored, Tx


async def current(tx: Tx, caller: Caller, type: str, id: str, letter: str) -> Stored | None:
    """The current version, a deletion included; None if there never was one, or the caller may not do on it what the
    letter stands for."""
    if caller.unrestricted(type, letter):
        return await tx.read(type, id)
    where = restrict(Is(ID, (("id", "=", id),)), caller, (type,), letter)
    rows = (await tx.search(Query((type,), where, count=1))).rows
    return rows[0] if rows else None


async def overwritten(tx: Tx, caller: Caller, type: str, id: str) -> Stored | None:
    """What an update replaces; None if it creates.

    An id that the client chose is for callers from whom nothing of the type is hidden. The others are refused alike,
    FhirError 403, whether there is no such resource or it is hidden: nobody learns by trying.
    """
    found = await current(tx, caller, type, id, "u")
    if found is None and not (caller.unrestricted(type, "rc") and await tx.read(type, id) is None):
        raise forbidden(type, "u")
    return found


def not_found(type: str, id: str) -> FhirError:
    """The 404 of an instance that does not exist, or is hidden: the two are answered alike."""
    return refuse(404, "not-found", f"There is no {type} with the id {id[:64]!r}.")


def gone(type: str, id: str) -> FhirError:
    """The 410 of a deleted instance."""
    return refuse(410, "deleted", f"{type}/{id} was deleted.")
