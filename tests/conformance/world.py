"""A small world in which each search of cases.py finds what it should and leaves out what it should not."""

from typing import Any

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
Resource = dict[str, Any]


def code(system: str, value: str, **more: Any) -> Resource:
    return {"coding": [{"system": system, "code": value, **more}]}


def quantity(value: float, unit: str) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def reference(to: str) -> Resource:
    return {"reference": to}


def of(type: str, id: str, **more: Any) -> Resource:
    return {"resourceType": type, "id": id, **more}


def observation(id: str, subject: Resource, what: Resource, **more: Any) -> Resource:
    return of("Observation", id, **{"status": "final", "code": what, "subject": subject, **more})


NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a nodule of the lung</div>'}
SYSTOLIC = {**code(LOINC, "8480-6", display="Systolic blood pressure"), "text": "Pressure"}
WORLD: tuple[Resource, ...] = (
    of("Organization", "root", name="Root"),
    of("Organization", "org", name="a,b|c$d\\e", partOf=reference("Organization/root")),
    of("Practitioner", "pr", name=[{"family": "Ito"}]),
    of("Patient", "a", active=True, gender="female", birthDate="1970-06-15", text=NARRATIVE,
       meta={"tag": [{"system": "urn:tags", "code": "t1"}], "security": [{"system": "urn:sec", "code": "R"}],
             "profile": ["http://example.org/profile"], "source": "http://example.org/source"},
       name=[{"family": "Müller", "given": ["Anna", "Maria"]}], telecom=[{"system": "phone", "value": "555-1"}],
       identifier=[{"system": "urn:mrn", "value": "1", "type": code("urn:types", "MR")}], address=[{"city": "Bern"}],
       managingOrganization=reference("Organization/org"), generalPractitioner=[reference("Practitioner/pr")]),
    of("Patient", "b", active=False, gender="male", birthDate="1980-01", name=[{"family": "Mueller",
        "given": ["José"]}],
       identifier=[{"system": "urn:mrn", "value": "2"}], link=[{"other": reference("Patient/a"), "type": "seealso"}]),
    of("Patient", "c", deceasedDateTime="2020-05-05", identifier=[{"value": "1"}]),
    of("Encounter", "e0", status="finished", **{"class": {"code": "IMP"}}, subject=reference("Patient/a")),
    of("Encounter", "e", status="finished", **{"class": {"code": "AMB"}}, subject=reference("Patient/a"),
       partOf=reference("Encounter/e0")),
    observation("o1", reference("Patient/a"), SYSTOLIC, valueQuantity=quantity(120, "mm[Hg]"),
                effectiveDateTime="2021-03-10T10:00:00+01:00", performer=[reference("Practitioner/pr")],
                issued="2021-03-11T09:30:00.250Z", encounter=reference("Encounter/e")),
    observation("o2", reference("Patient/b"), code(LOINC, "29463-7"), valueQuantity=quantity(70, "kg"),
        status="preliminary",
                effectivePeriod={"start": "2021-03-01", "end": "2021-03-31"}),
    observation("o3", {"identifier": {"system": "urn:mrn", "value": "9"}}, code(LOINC, "85354-9"),
        effectiveDateTime="2021",
                component=[{"code": SYSTOLIC, "valueQuantity": quantity(130, "mm[Hg]")},
                           {"code": code(LOINC, "8462-4"), "valueQuantity": quantity(80, "mm[Hg]")}]),
    observation("o4", reference("http://other.example/fhir/Patient/77"), code("http://example.org/cs", "child"),
                valueCodeableConcept=code("http://snomed.info/sct", "10828004"),
                    effectivePeriod={"start": "2022-01-01"}),
    observation("o5", reference("Patient/a"), code("http://example.org/cs", "parent"), valueString="Text, found",
                effectiveTiming={"event": ["2023-05-05T08:00:00Z"]}),
    of("RiskAssessment", "r1", status="final", subject=reference("Patient/a"),
        prediction=[{"probabilityDecimal": 0.80}]),
    of("RiskAssessment", "r2", status="final", subject=reference("Patient/b"),
        prediction=[{"probabilityDecimal": 0.5}]),
    of("Location", "here", position={"latitude": 46.95, "longitude": 7.45}),
    of("Location", "there", position={"latitude": 52.52, "longitude": 13.40}, partOf=reference("Location/here")),
    of("CodeSystem", "cs", url="http://example.org/cs", status="active", content="complete", version="1",
       concept=[{"code": "parent", "concept": [{"code": "child"}]}]),
    of("ValueSet", "vs", url="http://example.org/vs/one", version="1.2", status="active",
       compose={"include": [{"system": LOINC, "concept": [{"code": "8480-6"}]}]}),
    of("ValueSet", "vs2", url="http://example.org/vs/one/more", status="draft"),
    of("QuestionnaireResponse", "qr", status="completed", questionnaire="http://example.org/q|1.0"),
    of("Provenance", "prov", target=[reference("Patient/a"), reference("Observation/o1")],
        recorded="2024-01-01T00:00:00Z",
       agent=[{"who": reference("Practitioner/pr")}]),
    of("MedicationRequest", "mr", status="active", intent="order", subject=reference("Patient/b"),
       medicationReference=reference("#m1"), contained=[
           of("Medication", "m1", code=code("urn:drugs", "aspirin"), status="active"),
           of("Medication", "m2", code=code("urn:drugs", "zinc"), status="inactive")]),
    of("MedicationRequest", "mr2", status="active", intent="order", subject=reference("Patient/b"),
       medicationReference=reference("#m1"), contained=[of("Medication", "m1", code=code("urn:drugs", "aspirin")),
                                                        of("Organization", "o1", name="Inner")]),
    of("Medication", "med", code=code("urn:drugs", "aspirin"), status="active"),
    of("List", "l", status="current", mode="working", entry=[{"item": reference("Patient/a")}]),
)  # fmt: skip
