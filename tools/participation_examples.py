"""An example of each of our profiles, and what makes it wrong. All persons are made up."""

from typing import Any

from tools.elements import CATEGORY, CONSENT_SCOPE, HGNC, HOME, LOINC, ONCOTREE, OURS, SECTION, UCUM, US_CORE

Json = dict[str, Any]
RACE = "urn:oid:2.16.840.1.113883.6.238"
PATIENT, SPECIMEN = {"reference": "Patient/example"}, {"reference": "Specimen/example"}
TEAM, BIOBANK = {"reference": "Organization/study-team"}, {"reference": "Organization/biobank"}
GENETIC: Json = {
    "status": "final",
    "category": [
        {"coding": [{"system": CATEGORY, "code": "laboratory"}]},
        {"coding": [{"system": SECTION, "code": "GE"}]},
    ],
    "subject": PATIENT,
    "effectiveDateTime": "2026-03-02",
    "specimen": SPECIMEN,
}


def concept(system: str, code: str, text: str = "") -> Json:
    """A CodeableConcept of one code."""
    return {"coding": [{"system": system, "code": code}], **({"text": text} if text else {})}


def component(loinc: str, **value: Any) -> Json:
    """A component of a genetic observation."""
    return {"code": concept(LOINC, loinc), **value}


VARIANT = {
    "resourceType": "Observation",
    **GENETIC,
    "code": concept(LOINC, "69548-6"),
    "valueCodeableConcept": concept(LOINC, "LA9633-4"),
    "component": [
        component("48018-6", valueCodeableConcept=concept(HGNC, "HGNC:3236", "EGFR")),
        component("48004-6", valueCodeableConcept=concept("http://varnomen.hgvs.org", "NM_005228.5:c.2573T>G")),
        component("48005-3", valueCodeableConcept=concept("http://varnomen.hgvs.org", "NP_005219.2:p.Leu858Arg")),
        component("81258-6", valueQuantity={"value": 0.31, "system": UCUM, "code": "1"}),
    ],
}

EXAMPLES: dict[str, Json] = {
    "participant": {
        "resourceType": "Patient",
        "extension": [
            {
                "url": US_CORE + "us-core-race",
                "extension": [
                    {"url": "ombCategory", "valueCoding": {"system": RACE, "code": "2054-5"}},
                    {"url": "ombCategory", "valueCoding": {"system": RACE, "code": "1002-5"}},
                    {"url": "text", "valueString": "Black, and American Indian"},
                ],
            },
            {
                "url": US_CORE + "us-core-ethnicity",
                "extension": [
                    {"url": "ombCategory", "valueCoding": {"system": RACE, "code": "2186-5"}},
                    {"url": "text", "valueString": "Not Hispanic or Latino"},
                ],
            },
        ],
        "identifier": [{"system": "https://hospital.example/mrn", "value": "0001"}],
        "name": [{"family": "Example", "given": ["Person"]}],
        "gender": "female",
        "birthDate": "1961-05-04",
        "communication": [{"language": concept("urn:ietf:bcp:47", "es"), "preferred": True}],
    },
    "participation-consent": {
        "resourceType": "Consent",
        "status": "active",
        "scope": concept(CONSENT_SCOPE, "research"),
        "category": [concept("http://terminology.hl7.org/CodeSystem/consentcategorycodes", "research")],
        "patient": PATIENT,
        "dateTime": "2026-01-10T09:00:00Z",
        "performer": [PATIENT],
        "policy": [{"uri": "https://participation.example/policy/research-participation/1"}],
        "provision": {
            "type": "permit",
            "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}],
        },
    },
    "biobank-specimen": {
        "resourceType": "Specimen",
        "extension": [{"url": OURS + "sprec", "valueString": "BLD-PED-B-N-E-A-H"}],
        "identifier": [{"system": f"{HOME}/specimen", "value": "S-1"}],
        "status": "available",
        "type": concept("http://terminology.hl7.org/CodeSystem/v2-0487", "PLAS"),
        "subject": PATIENT,
        "parent": [{"reference": "Specimen/blood"}],
        "collection": {"collectedDateTime": "2026-02-01"},
        "processing": [
            {
                "description": "Stored",
                "timeDateTime": "2026-02-01",
                "extension": [
                    {
                        "url": OURS + "storage-temperature",
                        "valueCoding": {"system": f"{HOME}/CodeSystem/storage-temperature", "code": "-60to-85"},
                    }
                ],
            }
        ],
        "container": [{"identifier": [{"system": f"{HOME}/container", "value": "T-1"}]}],
    },
    "specimen-shipment": {
        "resourceType": "Task",
        "status": "in-progress",
        "intent": "order",
        "code": concept(f"{HOME}/CodeSystem/task-code", "ship-specimens"),
        "executionPeriod": {"start": "2026-02-03"},
        "requester": BIOBANK,
        "owner": TEAM,
        "input": [{"type": {"text": "Specimen"}, "valueReference": SPECIMEN}],
    },
    "tumour-condition": {
        "resourceType": "Condition",
        "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "code": {
            "coding": [
                {"system": ONCOTREE, "code": "LUAD"},
                {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C34.11"},
            ]
        },
        "subject": PATIENT,
        "onsetDateTime": "2026-01-05",
    },
    "genomic-variant": VARIANT,
    "genomic-report": {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [concept(SECTION, "GE")],
        "code": concept(LOINC, "51969-4"),
        "subject": PATIENT,
        "effectiveDateTime": "2026-03-02",
        "issued": "2026-03-02T16:00:00Z",
        "specimen": [SPECIMEN],
        "result": [{"reference": "Observation/example"}],
        "conclusion": "Found: EGFR L858R.",
    },
    "tumour-mutational-burden": {
        "resourceType": "Observation",
        **GENETIC,
        "code": concept(LOINC, "94076-7"),
        "valueQuantity": {"value": 4.2, "unit": "mutations per megabase", "system": UCUM, "code": "1/1000000{Base}"},
    },
    "microsatellite-instability": {
        "resourceType": "Observation",
        **GENETIC,
        "code": concept(LOINC, "81695-9"),
        "valueCodeableConcept": concept(LOINC, "LA14122-8"),
    },
    "recruiting-study": {
        "resourceType": "ResearchStudy",
        "status": "active",
        "title": "Study drug E for lung adenocarcinoma",
        "identifier": [{"system": "https://participation.example/trial", "value": "PEX-0001"}],
        "condition": [concept(ONCOTREE, "LUAD")],
        "contact": [{"name": "Study office", "telecom": [{"system": "email", "value": "study@participation.example"}]}],
        "enrollment": [{"reference": "Group/example"}],
    },
    "eligibility": {
        "resourceType": "Group",
        "type": "person",
        "actual": False,
        "active": True,
        "characteristic": [
            {"code": concept(LOINC, "29308-4"), "valueCodeableConcept": concept(ONCOTREE, "LUAD"), "exclude": False}
        ],
    },
    "trial-candidate": {
        "resourceType": "ResearchSubject",
        "status": "candidate",
        "study": {"reference": "ResearchStudy/example"},
        "individual": PATIENT,
        "consent": {"reference": "Consent/example"},
    },
    "match-explanation": {
        "resourceType": "GuidanceResponse",
        "moduleUri": "ResearchStudy/example",
        "status": "success",
        "subject": PATIENT,
        "occurrenceDateTime": "2026-03-03T08:00:00Z",
        "performer": {"reference": "Device/trial-matcher"},
        "outputParameters": {"reference": "#why"},
        "contained": [
            {"resourceType": "Parameters", "id": "why", "parameter": [{"name": "outcome", "valueCode": "met"}]}
        ],
    },
    "contact-request": {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": concept(f"{HOME}/CodeSystem/task-code", "contact-participant"),
        "focus": {"reference": "ResearchSubject/example"},
        "for": PATIENT,
        "requester": TEAM,
    },
}

# Of a profile: what is changed in its example (None: taken away), the element that must be named, and what is wrong.
COUNTER: tuple[tuple[str, Json, str, str], ...] = (
    (
        "participant",
        {"identifier": None},
        "Patient.identifier",
        "Nobody can be told from others without an identifier.",
    ),
    (
        "participant",
        {
            "extension": [
                {
                    "url": US_CORE + "us-core-race",
                    "extension": [{"url": "ombCategory", "valueCoding": {"system": RACE, "code": "2054-5"}}],
                }
            ]
        },
        "Patient.extension[0].extension",
        "Race needs a text.",
    ),
    (
        "participation-consent",
        {"scope": concept(CONSENT_SCOPE, "adr")},
        "Consent.scope",
        "Another scope is not about taking part.",
    ),
    (
        "participation-consent",
        {
            "provision": {
                "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}]
            }
        },
        "Consent.provision",
        "Permitted or denied? The provision does not say.",
    ),
    ("biobank-specimen", {"type": None}, "Specimen.type", "What kind of sample is it?"),
    (
        "biobank-specimen",
        {
            "processing": [
                {
                    "description": "Stored",
                    "extension": [
                        {
                            "url": OURS + "storage-temperature",
                            "valueCoding": {"system": f"{HOME}/CodeSystem/storage-temperature", "code": "cold"},
                        }
                    ],
                }
            ]
        },
        "Specimen.processing[0].extension[0].value.ofType(Coding)",
        "`cold` is no band of temperatures.",
    ),
    (
        "biobank-specimen",
        {"extension": [{"url": OURS + "sprec", "valueString": "BLD-PED"}]},
        "Specimen.extension[0].value.ofType(string)",
        "A SPREC has seven elements.",
    ),
    (
        "specimen-shipment",
        {"input": [{"type": {"text": "Specimen"}, "valueReference": PATIENT}]},
        "Task.input[0].value.ofType(Reference)",
        "A parcel holds specimens.",
    ),
    (
        "tumour-condition",
        {"code": {"text": "lung cancer"}},
        "Condition.code",
        "Text alone is never matched to a trial.",
    ),
    ("tumour-condition", {"subject": {"reference": "Group/g"}}, "Condition.subject", "A tumour is one person's."),
    ("genomic-variant", {"component": None}, "Observation", "Present, but of which gene?"),
    (
        "genomic-variant",
        {"component": [component("48018-6", valueString="EGFR")]},
        "Observation.component[0].value.ofType(string)",
        "A gene is a code of HGNC.",
    ),
    ("genomic-variant", {"category": [concept(SECTION, "GE")]}, "Observation.category", "It is a laboratory's."),
    (
        "genomic-report",
        {"code": concept(LOINC, "58410-2")},
        "DiagnosticReport.code",
        "A blood count is no genomic report.",
    ),
    ("genomic-report", {"category": [concept(SECTION, "HM")]}, "DiagnosticReport.category", "It is genetics."),
    (
        "tumour-mutational-burden",
        {"valueQuantity": {"value": 4.2, "system": UCUM, "code": "%"}},
        "Observation.value.ofType(Quantity).code",
        "Per megabase, not per cent.",
    ),
    (
        "microsatellite-instability",
        {"valueCodeableConcept": None, "valueString": "stable"},
        "Observation.value.ofType(string)",
        "A code is needed.",
    ),
    (
        "recruiting-study",
        {"enrollment": None},
        "ResearchStudy.enrollment",
        "Without eligibility nobody can be matched.",
    ),
    ("eligibility", {"actual": True}, "Group.actual", "Criteria describe people, they name none."),
    (
        "trial-candidate",
        {"individual": {"reference": "Group/g"}},
        "ResearchSubject.individual.reference",
        "A candidate is a person.",
    ),
    (
        "match-explanation",
        {"outputParameters": None, "contained": None},
        "GuidanceResponse.outputParameters",
        "Where are the reasons?",
    ),
    ("contact-request", {"focus": PATIENT}, "Task.focus", "It is about a candidate for a study."),
)
