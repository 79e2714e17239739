"""A resource without identity, or without contact details: what a permit leaves of it. docs/consent.md

Only what is known to tell nothing of a person stays: codes, numbers, quantities. Ids and references to what is about
patients become the recipient's names (pseudonyms.py), dates move; free text, names, identifiers, attachments, notes and
everything that is not listed here are left out.
"""

from typing import Any

from fhir_server.access.pseudonyms import Pseudonyms, earlier
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds
from fhir_server.fhir.definitions import Definitions, Element

STAYING = frozenset(
    {"code", "uri", "url", "canonical", "boolean", "integer", "positiveInt", "unsignedInt", "decimal", "time"}
)
DATES = frozenset({"date", "dateTime", "instant"})
STRINGS = frozenset({"Coding.version", "Quantity.unit", "Age.unit", "Count.unit", "Distance.unit", "Duration.unit"})
# What is said in such a type is a name, an address or free text, in whatever element.
LEFT_OUT = frozenset(
    "HumanName ContactPoint Address Identifier Attachment Annotation Narrative Signature ContactDetail".split()  # noqa: SIM905
)
OF_PATIENT = ("name", "telecom", "address", "contact", "photo", "communication", "identifier", "text", "link")
CONTACT = ("telecom", "address", "contact", "photo", "text")
OLD = 89  # years of age from which the year of birth would tell who it is
YEAR = 31_557_600_000_000  # microseconds


def without_contact(resource: Resource) -> Resource:
    """A Patient without contact details; the narrative may repeat them."""
    return {key: value for key, value in resource.items() if key.lstrip("_") not in CONTACT}


def deidentified(
    definitions: Definitions, resource: Resource, names: Pseudonyms, patient: str, personal: frozenset[str], now: int
) -> Resource:
    """The resource as a recipient may have it. `patient`: whose dates these are; `personal`: types about patients."""
    return _Told(definitions, names, names.days(patient), personal, now).resource(resource)


class _Told:
    """One resource on its way to one recipient."""

    def __init__(
        self, definitions: Definitions, names: Pseudonyms, days: int, personal: frozenset[str], now: int
    ) -> None:
        self._structures, self._names, self._days = definitions.structures, names, days
        self._personal, self._now = personal, now

    def resource(self, resource: Resource) -> Resource:
        kind = resource["resourceType"]
        told: Resource = {"resourceType": kind}
        if "id" in resource:
            told["id"] = self._names.name(kind, resource["id"])
        rest = {key: value for key, value in resource.items() if key not in ("resourceType", "id")}
        if kind == "Patient":
            rest = {key: value for key, value in rest.items() if key not in OF_PATIENT}
            born = rest.pop("birthDate", None)
            if born and self._now - bounds(born)[0] < OLD * YEAR:
                told["birthDate"] = born[:4]
        return {**told, **self._members(kind, rest)}

    def _members(self, structure: str, members: Resource) -> Resource:
        known = self._structures[structure].elements if structure in self._structures else {}
        told: Resource = {}
        for name, value in members.items():
            element = known.get(name)
            if element is None:
                continue
            kept = [self._value(structure, element, one) for one in (value if isinstance(value, list) else [value])]
            kept = [one for one in kept if one is not None and one != {}]
            if kept:
                told[name] = kept if isinstance(value, list) else kept[0]
        return told

    def _value(self, structure: str, element: Element, value: Any) -> Any:
        if element.type in LEFT_OUT:
            return None
        if element.type == "Resource":
            return self.resource(value) if isinstance(value, dict) and "resourceType" in value else None
        if isinstance(value, dict):
            if element.type == "Reference":
                return self._reference(value)
            return self._members(element.structure or element.type, value)
        if element.type in DATES:
            return earlier(value, self._days) if isinstance(value, str) else None
        if element.type in STAYING and not (structure == "Meta" and element.name == "source"):
            return value
        if element.type in ("string", "id") and f"{structure}.{element.name}" in (*STRINGS, "Meta.versionId"):
            return value
        return None

    def _reference(self, value: Resource) -> Resource | None:
        parts = value.get("reference", "").split("/")
        if len(parts) < 2 or parts[0] not in self._structures:
            return None  # a resource elsewhere, or one that is contained
        if parts[0] in self._personal:
            return {"reference": f"{parts[0]}/{self._names.name(parts[0], parts[1])}"}
        return {"reference": value["reference"]}
