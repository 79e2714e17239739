"""Whose record a person may open in an app: their own, that of whom they care for, or one picked from those they see.
https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#scopes-for-requesting-context-data"""

import re
from typing import NamedTuple

from fhir_server.access import OPERATOR, READ, Caller, permitted, restrict
from fhir_server.access.asking import caller_for
from fhir_server.access.grant import Grant
from fhir_server.auth.records import User
from fhir_server.fhir.codec import Resource, decode
from fhir_server.fhir.references import parse
from fhir_server.interactions.lookup import parsed
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.store.seam import Query

MOST = 20  # patients on a page of the picker
_SPECIAL = re.compile(r"([\\,|$])")  # of FHIR search values


class Choice(NamedTuple):
    """A patient as the pages show one."""

    id: str
    name: str
    born: str = ""
    gender: str = ""
    identifier: str = ""


async def picker_caller(server: Server, user: User) -> Caller:
    """As whom a user looks for patients: a clinician finds those they are tied to (access/rights.py).

    Raises PermissionError for a user who does not pick.
    """
    if not user.fhir_user.startswith("Practitioner/"):
        raise PermissionError(user.fhir_user)
    return await caller_for(server, Grant(client="", scopes=("user/*.rs",), user=user.fhir_user))


async def own(server: Server, user: User) -> Choice | None:
    """The one patient that a Patient or RelatedPerson user opens; None for others, and if there is none (any more)."""
    type, id = user.fhir_user.split("/")
    if type == "RelatedPerson":
        found = await server.store.read(type, id, EVERYTHING)
        person = decode(found.body) if found is not None and found.body else {}
        reference = parse(person.get("patient", {}).get("reference", ""), server.settings.base)
        if person.get("active") is False or not reference.local or reference.type != "Patient":
            return None
        type, id = "Patient", reference.id
    return await _read(server, id, OPERATOR) if type == "Patient" else None


async def visible(server: Server, user: User, id: str) -> Choice | None:
    """The patient of an id, if this user may open that record."""
    if user.fhir_user.startswith("Practitioner/"):
        return await _read(server, id, await picker_caller(server, user))
    mine = await own(server, user)
    return mine if mine is not None and mine.id == id else None


async def found(server: Server, user: User, name: str, born: str) -> tuple[list[Choice], bool]:
    """Patients by the beginnings of their names and by date of birth, and whether there are more than are given.

    Raises FhirError 400 for a date that is none, PermissionError for a user who does not pick.
    """
    caller = await picker_caller(server, user)
    pairs = [("name", _SPECIAL.sub(r"\\\1", word)) for word in name.split()[:5]]
    pairs += [("birthdate", born)] if born else []
    pairs.append(("_sort", "family"))
    search = await parsed(server, caller, server.store.search, "Patient", tuple(pairs), False, server.clock())
    where = restrict(search.where, caller, ("Patient",))
    page = await server.store.search(Query(("Patient",), where, search.sort, MOST))
    return [_choice(decode(row.body)) for row in page.rows], page.next is not None


async def _read(server: Server, id: str, caller: Caller) -> Choice | None:
    found = await server.store.read("Patient", id, permitted(caller, ("Patient",), READ))
    return _choice(decode(found.body)) if found is not None and found.body else None


def _choice(patient: Resource) -> Choice:
    identifiers = [one["value"] for one in patient.get("identifier", ()) if isinstance(one.get("value"), str)]
    return Choice(
        patient["id"],
        _name(patient.get("name", ())) or f"Patient {patient['id']}",
        patient.get("birthDate", ""),
        patient.get("gender", ""),
        identifiers[0] if identifiers else "",
    )


def _name(names: list[Resource]) -> str:
    """The official name, else the usual one, else the first that is still in use."""
    in_use = [name for name in names if name.get("use") not in ("old", "temp")] or list(names)
    order = {"official": 0, "usual": 1}
    for name in sorted(in_use, key=lambda name: order.get(name.get("use", ""), 2)):
        parts = [*name.get("given", ()), name.get("family", "")]
        text = name.get("text") or " ".join(part for part in parts if isinstance(part, str) and part)
        if text:
            return str(text)
    return ""
