"""A patient's record: everything in the Patient compartment, in few searches. https://hl7.org/fhir/R4/compartmentdefinition-patient.html

One search over many types asks for any of many reference parameters at once. That is exact only while no type has one
that means membership for another type but not for itself (Consent.actor may be the patient, only Consent.patient
counts). So the types are gathered into as few groups as keep it exact: four, where one by one they were 66.
"""

from functools import lru_cache
from typing import NamedTuple

from fhir_server.fhir.definitions import Definitions, load
from fhir_server.search.context import stand_ins
from fhir_server.search.index import param_of
from fhir_server.search.predicate import ID, And, Is, Not, Or, Param, Predicate

# The search parameter that says when care took place; a type without one is always part of the record.
CLINICAL_DATE = {
    "Account": "period", "AdverseEvent": "date", "AllergyIntolerance": "onset", "Appointment": "date",
    "AuditEvent": "date", "Basic": "created", "CarePlan": "date", "CareTeam": "date", "ChargeItem": "occurrence",
    "Claim": "created", "ClaimResponse": "created", "ClinicalImpression": "date", "Communication": "sent",
    "CommunicationRequest": "authored", "Composition": "date", "Condition": "onset-date", "Consent": "date",
    "CoverageEligibilityRequest": "created", "CoverageEligibilityResponse": "created", "DetectedIssue": "identified",
    "DeviceRequest": "authored-on", "DiagnosticReport": "date", "DocumentManifest": "created",
    "DocumentReference": "date", "Encounter": "date", "EpisodeOfCare": "date", "ExplanationOfBenefit": "created",
    "FamilyMemberHistory": "date", "Flag": "date", "Goal": "start-date", "ImagingStudy": "started",
    "Immunization": "date", "ImmunizationEvaluation": "date", "ImmunizationRecommendation": "date", "Invoice": "date",
    "List": "date", "MeasureReport": "date", "Media": "created", "MedicationAdministration": "effective-time",
    "MedicationDispense": "whenhandedover", "MedicationRequest": "authoredon", "MedicationStatement": "effective",
    "NutritionOrder": "datetime", "Observation": "date", "Procedure": "date", "Provenance": "recorded",
    "QuestionnaireResponse": "authored", "RequestGroup": "authored", "ResearchSubject": "date",
    "RiskAssessment": "date", "Schedule": "date", "ServiceRequest": "authored", "Specimen": "collected",
    "SupplyRequest": "date", "VisionPrescription": "datewritten",
}  # fmt: skip


CAP = 200


class Group(NamedTuple):
    """Types that one search covers, and the reference parameters that make their resources members."""

    types: tuple[str, ...]
    links: tuple[Param, ...]
    date: str = ""  # the clinical date they share, where searches by date have to be kept apart


class Span(NamedTuple):
    """A half-open range of clinical dates, in microseconds since 1970; None where it is open."""

    start: int | None
    end: int | None


ALWAYS = Span(None, None)


@lru_cache(maxsize=64)
def groups(types: frozenset[str] = frozenset(), dated: bool = False) -> tuple[Group, ...]:
    """How the types of the compartment (empty: all of them) are searched, Patient aside."""
    definitions = load()
    made: list[tuple[list[str], set[str], str]] = []
    for type, codes in definitions.compartments["Patient"].items():
        if type == "Patient" or (types and type not in types):
            continue
        links = _links(definitions, type, codes)
        date = CLINICAL_DATE.get(type, "") if dated else ""
        for members, together, shared in made:
            wider = together | links
            small = (len(members) + 1) * len(wider) <= CAP
            if small and shared == date and all(_exact(definitions, one, wider) for one in (*members, type)):
                members.append(type)
                together |= links
                break
        else:
            made.append(([type], set(links), date))
    return tuple(
        Group(tuple(members), tuple(param_of(code, "reference") for code in sorted(links)), date)
        for members, links, date in made
    )


def _links(definitions: Definitions, type: str, codes: tuple[str, ...]) -> set[str]:
    """The indexed parameters behind a type's compartment parameters."""
    found: set[str] = set()
    for code in codes:
        params, restricted = stand_ins(definitions, definitions.search[type][code])
        if restricted in ("", "Patient"):
            found |= {param.code for param in params}
    return found


def _exact(definitions: Definitions, type: str, links: set[str]) -> bool:
    """Whether `links` makes no resource of `type` a member that the compartment's definition does not."""
    own = _links(definitions, type, definitions.compartments["Patient"][type])
    strange = (definitions.search[type].get(code) for code in links - own)
    return not any(p is not None and (not p.target or "Patient" in p.target) for p in strange)


def membership(group: Group, patient: str, span: Span = ALWAYS) -> Predicate:
    """The resources of a group that belong to a patient, and to a range of dates: those without a date always do."""
    tests = (("type", "=", "Patient"), ("id", "=", patient))
    found: Predicate = Or(tuple(Is(link, tests) for link in group.links))
    if not group.date or span == ALWAYS:
        return found
    date = param_of(group.date, "date")
    wanted = tuple(
        (field, operator, bound)
        for field, operator, bound in (("high", ">", span.start), ("low", "<", span.end))
        if bound is not None
    )
    return And((found, Or((Is(date, wanted), Not(Is(date))))))


def linking(patient: str) -> Predicate:
    """Other Patient resources that link to a patient: members of its compartment too."""
    link = Is(param_of("link", "reference"), (("type", "=", "Patient"), ("id", "=", patient)))
    return And((link, Not(Is(ID, (("id", "=", patient),)))))
