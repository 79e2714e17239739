"""Whom a resource is about, for consent: by the Patient compartment, and what compartment.py has beside it.

https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

import re
from collections.abc import Iterable, Sequence

from fhir_server.access.compartment import BESIDE, SHARED, references
from fhir_server.fhir.definitions import Definitions
from fhir_server.search.predicate import ID, Entry, Is, Of, Or, Param, Predicate

# Rows that no consent decides about: nobody's, descriptions of cohorts, and the log of who looked (access/rights.py).
UNRULED = SHARED | {"AuditEvent", "Group"}


def patients_of(definitions: Definitions, type: str, id: str, entries: Iterable[Entry]) -> set[str]:
    """The ids of the Patients that a resource is about: by the compartment and what compartment.py has beside it."""
    params = _params(definitions, type)
    found = {entry[2] for entry in entries if entry[0] in params and entry[1] == "Patient" and entry[2]}
    return found | {id} if type == "Patient" else found


def patients_in(body: bytes) -> set[str]:
    """The ids of all Patients that a body refers to, in whatever element."""
    return {one.decode() for one in _NAMED.findall(body)}


_NAMED = re.compile(rb'"reference":"(?:[^"]*/)?Patient/([A-Za-z0-9\-.]{1,64})')
_PARAMS: dict[tuple[int, str], frozenset[Param]] = {}


def _params(definitions: Definitions, type: str) -> frozenset[Param]:
    key = id(definitions), type
    if key not in _PARAMS:
        codes = BESIDE.get(type, definitions.compartments["Patient"].get(type, ()))
        if type == "Device":
            codes = ("patient",)
        _PARAMS[key] = frozenset(
            param for code in codes if code not in ("_id", "link") for param in references(definitions, type, code)
        )
    return _PARAMS[key]


def person_types(definitions: Definitions) -> tuple[str, ...]:
    """The types whose resources are about patients."""
    found = {*definitions.compartments["Patient"], *BESIDE, "Device", "Patient"} - UNRULED
    return tuple(sorted(found))


def all_about(definitions: Definitions, types: tuple[str, ...], ids: Sequence[str]) -> Predicate:
    """Whatever of some types is about one of these Patients."""
    alike: dict[frozenset[Param], list[str]] = {}
    for type in types:
        alike.setdefault(_params(definitions, type), []).append(type)
    parts: list[Predicate] = []
    targets = tuple(("Patient", id) for id in ids)
    for params, members in alike.items():
        links: tuple[Predicate, ...] = tuple(
            Is(param, (("type", "=", "Patient"), ("id", "=", id))) for param in sorted(params) for _, id in targets
        )
        if "Patient" in members:
            parts.append(Of(("Patient",), Or(tuple(Is(ID, (("id", "=", id),)) for id in ids))))
            members = [one for one in members if one != "Patient"]
        if links and members:
            parts.append(Of(tuple(members), Or(links)))
    return Or(tuple(parts))
