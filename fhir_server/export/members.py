"""What belongs to the patients of an export, by type. https://hl7.org/fhir/R4/compartmentdefinition-patient.html

R4's Patient compartment, and the types that access/compartment.py knows to be about one patient beside it. Not Group:
its members are other people (a patient's membership in one study is nothing that the export of another tells).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from fhir_server.access.compartment import BESIDE, SHARED, references
from fhir_server.fhir.definitions import Definitions
from fhir_server.search.predicate import EVERYTHING, ID, Is, Or, Param, Predicate

_MORE = {**BESIDE, "Device": ("patient",)}
_NOT = frozenset({"Group", "Patient", "Provenance"})
# Those that refer to others of these come first.
_BEFORE = ("PractitionerRole", "HealthcareService", "Practitioner", "Medication", "Location", "Organization")


class Kinds(NamedTuple):
    """The types of an export in the order in which they are written: what belongs to its patients, what that refers
    to, and what is about either."""

    first: tuple[str, ...]
    referenced: tuple[str, ...] = ()
    last: tuple[str, ...] = ()


def kinds_of(definitions: Definitions, level: str) -> Kinds:
    """All types that an export of a level may hold."""
    if level == "system":
        return Kinds(tuple(sorted(definitions.resources)))
    return _kinds(tuple(sorted(definitions.resources)), tuple(sorted(definitions.compartments["Patient"])))


@lru_cache(maxsize=4)
def _kinds(resources: tuple[str, ...], compartment: tuple[str, ...]) -> Kinds:
    first = ("Patient", *sorted({*compartment, *_MORE} - _NOT))
    beyond = [type for type in resources if type in SHARED and type not in first]
    beyond.sort(key=lambda type: (_BEFORE.index(type) if type in _BEFORE else len(_BEFORE), type))
    return Kinds(first, tuple(beyond), ("Provenance",))


def links(definitions: Definitions, type: str) -> tuple[Param, ...]:
    """The references by which a resource of `type` belongs to a patient."""
    codes = _MORE.get(type, definitions.compartments["Patient"].get(type, ()))
    found = (param for code in codes if code != "_id" for param in references(definitions, type, code))
    return tuple(dict.fromkeys(found))


def belonging_to(definitions: Definitions, type: str, patients: Sequence[str] | frozenset[str] | None) -> Predicate:
    """Which resources of `type` belong to these patients, or (None) to any.

    With a set of ids the predicate is good for `predicate.matches` alone: no store is asked with one that large.
    """
    if type == "Patient":
        return EVERYTHING if patients is None else with_ids(patients)
    if patients is None:
        return Or(tuple(Is(link, (("type", "=", "Patient"),)) for link in links(definitions, type)))
    pairs = (("Patient", id) for id in patients)
    wanted = frozenset(pairs) if isinstance(patients, frozenset) else tuple(pairs)
    return Or(tuple(Is(link, (("type,id", "in", wanted),)) for link in links(definitions, type)))


def with_ids(ids: Sequence[str] | frozenset[str]) -> Predicate:
    """The resources that have one of these ids."""
    ones = ((id,) for id in ids)
    return Is(ID, (("id", "in", frozenset(ones) if isinstance(ids, frozenset) else tuple(ones)),))
