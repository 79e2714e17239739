"""Consents, data and requests for the tests of consent: the vectors' cast. https://hl7.org/fhir/R4/consent.html"""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from fhir_server.access.consent import Decision, Request, decide
from fhir_server.access.facts import ACT_CODE, CONFIDENTIALITY, DATA_CLASS, Facts
from fhir_server.access.provisions import voters
from fhir_server.access.purposes import ACT_REASON
from fhir_server.access.statements import SCOPE, person_of, statement_of
from fhir_server.terminology.codes import Terminology

Resource = dict[str, Any]
LOINC = "http://loinc.org"
GE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "GE"}]}
UNKNOWN_MODIFIER = {"modifierExtension": [{"url": "https://example.org/unless", "valueBoolean": True}]}
TERMS = Terminology()


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


NOW = at("2026-06-01T12:00:00")
PATIENT: Resource = {"resourceType": "Patient", "id": "p", "birthDate": "1960-05-01"}


def about(kind: str, id: str, **more: Any) -> Resource:
    return {"resourceType": kind, "id": id, "subject": {"reference": "Patient/p"}, **more}


def source(code: str) -> Resource:
    said = {"coding": [{"system": LOINC, "code": code}]}
    return {"code": {"coding": [{"system": LOINC, "code": "48002-0"}]}, "valueCodeableConcept": said}


D1 = about("Observation", "d1", category=[GE], effectiveDateTime="2025-03-01", component=[source("LA6684-0")])
D2 = about("Observation", "d2", category=[GE], effectiveDateTime="2025-03-01", component=[source("LA6683-2")])
D3 = about("Condition", "d3", onsetDateTime="2024-05-01")
D4 = about("Specimen", "d4", collection={"collectedDateTime": "2023-01-10"})
D5 = about("QuestionnaireResponse", "d5")

O1, O2, O3 = (f"Organization/o{n}" for n in (1, 2, 3))
MEMBERS = {O1: ("Group/net",), O2: ("Group/commercial",), O3: ()}


def asks(purpose: str = "HRESCH", who: str = O1, action: str = "access", **more: Any) -> Request:
    return Request(purpose, frozenset({who, *MEMBERS.get(who, ())}), frozenset({action}), **more)


def coded(system: str, code: str) -> Resource:
    return {"system": system, "code": code}


purpose, label, confidentiality = (
    partial(coded, ACT_REASON),
    partial(coded, DATA_CLASS),
    partial(coded, CONFIDENTIALITY),
)
gdis = partial(coded, ACT_CODE)
kind = partial(coded, "http://hl7.org/fhir/resource-types")


def actor(reference: str, role: str = "IRCP") -> Resource:
    system = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
    return {"role": {"coding": [coded(system, role)]}, "reference": {"reference": reference}}


def action(*codes: str) -> list[Resource]:
    system = "http://terminology.hl7.org/CodeSystem/consentaction"
    return [{"coding": [coded(system, code)]} for code in codes]


def permit(*purposes: str, **more: Any) -> Resource:
    return _node("permit", purposes, more)


def deny(*purposes: str, **more: Any) -> Resource:
    return _node("deny", purposes, more)


def _node(type: str, purposes: tuple[str, ...], more: Resource) -> Resource:
    node: Resource = {"type": type, **({"purpose": [purpose(one) for one in purposes]} if purposes else {})}
    nested = more.pop("nested", ())
    return {
        **node,
        **{name.rstrip("_"): value for name, value in more.items()},
        **({"provision": list(nested)} if nested else {}),
    }


def research(provision: Resource | None, id: str = "c", **more: Any) -> Resource:
    return {
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "scope": {"coding": [coded(SCOPE, more.pop("scope", "research"))]},
        "category": [{"coding": [coded(LOINC, "59284-0")]}],
        "patient": {"reference": "Patient/p"},
        "dateTime": "2025-01-01",
        "policy": [{"uri": more.pop("policy", "https://example.org/policy")}],
        **({"provision": provision} if provision is not None else {}),
        **more,
    }


def privacy(provision: Resource | None, id: str = "pp", **more: Any) -> Resource:
    return research(provision, id, scope="patient-privacy", policy="https://example.org/privacy", **more)


def decided(
    consents: list[Resource], resource: Resource, request: Request, now: int = NOW, patient: Resource = PATIENT
) -> Decision:
    person = person_of([patient], 18)
    statements = [one for consent in consents if (one := statement_of(consent, person)) is not None]
    return decide(voters(statements, person, Facts(resource, TERMS), now), request)
