"""What the consent page offers: each scope with plain words for it, and the parts that can be granted in its place.
https://hl7.org/fhir/us/core/scopes.html"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from fhir_server.access.scopes import read_scope
from fhir_server.fhir.definitions import Definitions

# The types that people know by name; others are named by their type.
TYPES = {
    "Patient": "name, birth date, address and other personal details",
    "AllergyIntolerance": "allergies",
    "Appointment": "appointments",
    "CarePlan": "care plans",
    "CareTeam": "care teams",
    "Condition": "diagnoses and health problems",
    "Consent": "consents",
    "Coverage": "insurance",
    "Device": "implants and devices",
    "DiagnosticReport": "reports of laboratory, imaging and pathology",
    "DocumentReference": "documents and clinical notes",
    "Encounter": "visits and stays",
    "FamilyMemberHistory": "illnesses in the family",
    "Goal": "goals of care",
    "GuidanceResponse": "reasons why trials fit or do not fit",
    "Immunization": "vaccinations",
    "MedicationRequest": "prescribed medicines",
    "MedicationDispense": "medicines handed out",
    "MedicationAdministration": "medicines given",
    "MedicationStatement": "medicines taken",
    "Observation": "measurements, laboratory results and genetic findings",
    "Procedure": "operations and procedures",
    "Provenance": "who wrote what into the record",
    "QuestionnaireResponse": "answers to questionnaires",
    "RelatedPerson": "relatives and contacts",
    "ResearchSubject": "trials and research that may fit or are taken part in",
    "ServiceRequest": "referrals and orders",
    "Specimen": "tissue and blood samples",
    "ResearchStudy": "descriptions of research studies",
    "Practitioner": "names of health professionals",
    "Organization": "names of organizations",
}
_NOT_A_RECORD = ("ResearchStudy", "Practitioner", "Organization")
_LAUNCH = {
    "openid": "know that it is you",
    "fhirUser": "know who you are: your own entry here",
    "profile": "know who you are: your own entry here",
    "launch": "know which patient is open in the record system",
    "launch/patient": "know which patient this is about",
    "launch/encounter": "know which visit this is about",
    "offline_access": "go on when you are not there, until you withdraw it",
    "online_access": "go on while you are signed in here",
}
_OBSERVATION = "http://terminology.hl7.org/CodeSystem/observation-category"
_CONDITION = "http://terminology.hl7.org/CodeSystem/condition-category"
_CATEGORIES = {
    "Observation": {
        f"{_OBSERVATION}|laboratory": "laboratory and genetic results",
        f"{_OBSERVATION}|vital-signs": "vital signs",
        f"{_OBSERVATION}|social-history": "way of life, such as smoking",
        f"{_OBSERVATION}|survey": "surveys",
        f"{_OBSERVATION}|imaging": "imaging",
    },
    "Condition": {
        f"{_CONDITION}|encounter-diagnosis": "diagnoses of a visit",
        f"{_CONDITION}|problem-list-item": "the list of problems",
        "http://hl7.org/fhir/us/core/CodeSystem/condition-category|health-concern": "health concerns",
    },
}
_ACTS = (("rs", "see"), ("c", "add"), ("u", "change"), ("d", "delete"))


class Choice(NamedTuple):
    """One checkbox: the scope, what it means, and narrower scopes that can be chosen instead of it."""

    scope: str
    words: str
    parts: tuple["Choice", ...] = ()


def choices(definitions: Definitions, scopes: Iterable[str]) -> tuple[Choice, ...]:
    """What a person is asked about a request for these scopes."""
    return tuple(_choice(definitions, scope) for scope in scopes)


def chosen(offered: Sequence[Choice], ticked: Iterable[str]) -> tuple[str, ...]:
    """The scopes that were granted, in the order of the page. What was not offered is not granted, and a part of
    what is granted as a whole says nothing more."""
    ticks, found = set(ticked), []
    for choice in offered:
        if choice.scope in ticks:
            found.append(choice.scope)
        else:
            found += chosen(choice.parts, ticks)
    return tuple(dict.fromkeys(found))


def _choice(definitions: Definitions, text: str) -> Choice:
    scope = read_scope(definitions, text)
    if scope is None:
        return Choice(text, _LAUNCH.get(text, text))
    acts = [word for letters, word in _ACTS if any(letter in scope.letters for letter in letters)]
    doing = " and ".join(filter(None, (", ".join(acts[:-1]), acts[-1])))
    whose = " in every record that you may open" if scope.context == "user" else ""
    rights = text.split("?")[0].split(".", 1)[1]
    if scope.type == "*":
        types = [type for type in TYPES if scope.context == "user" or type not in _NOT_A_RECORD]
        parts = (f"{scope.context}/{type}.{rights}" for type in types)
        what = f"everything{whose}" if whose else "everything in the record"
        return Choice(text, f"{doing} {what}", choices(definitions, parts))
    what = TYPES.get(scope.type, f"entries of the kind {scope.type}")
    if scope.query:
        return Choice(text, f"{doing} {what}, only: {_kind(scope.type, scope.query)}{whose}")
    parts = (f"{scope.context}/{scope.type}.{scope.letters}?category={key}" for key in _CATEGORIES.get(scope.type, ()))
    return Choice(text, f"{doing} {what}{whose}", choices(definitions, parts))


def _kind(type: str, query: str) -> str:
    known = _CATEGORIES.get(type, {})
    return ", ".join(known.get(value, f"{name} {value}") for name, value in parse_qsl(query))
