"""A seeded, mixed set of resources whose values overlap, so that random searches find some and not all."""

from decimal import Decimal
from random import Random
from typing import Any

from fhir_server.fhir.ucum import SYSTEM as UCUM

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
Resource = dict[str, Any]
FAMILIES = ["Ito", "Núñez", "O'Neil", "Itoh", "van der Berg", "Li"]
GIVEN = ["Hana", "Zoë", "José", "Li", "Anna-Maria", "%_"]
CITIES = ["Bern", "Köln", "Berlin", "New York"]
LOINCS = [
    ("8480-6", "Systolic blood pressure"),
    ("29463-7", "Body weight"),
    ("718-7", "Hemoglobin"),
    ("8310-5", "Temp"),
]
DISEASES = [
    ("254637007", "Non-small cell lung cancer"),
    ("363346000", "Malignant neoplasm"),
    ("38341003", "Hypertension"),
]
UNITS = {
    "8480-6": [("mm[Hg]", 120, 1), ("kPa", 16, "0.1")],
    "29463-7": [("kg", 70, 1), ("g", 70_000, 500), ("[lb_av]", 154, 1)],
    "718-7": [("g/dL", 13, "0.1"), ("g/L", 130, 1), ("mg/dL", 13_000, 100)],
    "8310-5": [("Cel", 37, "0.1"), ("[degF]", 98, "0.1"), ("K", 310, "0.05")],
}
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'
DATES = [
    "2019",
    "2020-02",
    "2020-02-29",
    "2021-07-01T10:00:00Z",
    "2021-07-01T10:00:00.500+02:00",
    "2022-12-31",
    "2023-01",
]


def resources(seed: int = 5) -> list[Resource]:
    """About 260 resources of 11 types, in an order in which references may point ahead, nowhere or elsewhere."""
    random = Random(seed)
    made = [organization(random, n) for n in range(8)] + [practitioner(random, n) for n in range(8)]
    made += [location(random, n) for n in range(12)]
    made += [patient(random, n) for n in range(30)] + [encounter(random, n) for n in range(25)]
    made += [observation(random, n) for n in range(110)] + [condition(random, n) for n in range(35)]
    made += [questionnaire_response(random, n) for n in range(10)] + [value_set(random, n) for n in range(10)]
    made += [listing(random, n) for n in range(5)] + [risk(random, n) for n in range(8)]
    random.shuffle(made)
    return made


def maybe(random: Random, chance: float, **members: Any) -> dict[str, Any]:
    return members if random.random() < chance else {}


def date(random: Random) -> str:
    return random.choice(DATES)


def period(random: Random) -> dict[str, str]:
    start, end = sorted(random.sample(DATES, 2))
    return random.choice([{"start": start, "end": end}, {"start": start}, {"end": end}])


def concept(random: Random, choices: list[tuple[str, str]], system: str) -> Resource:
    code, display = random.choice(choices)
    coding: Resource = {"code": code, **maybe(random, 0.8, system=system), **maybe(random, 0.7, display=display)}
    codings = [coding, *([{"system": "urn:local", "code": random.choice("abc")}] if random.random() < 0.3 else [])]
    text = random.choice([display, "Text only", "lung"])
    return random.choice([{"coding": codings}] * 5 + [{"coding": codings, "text": text}] * 3 + [{"text": text}])


def reference(random: Random, type: str, most: int) -> Resource:
    identifier = {"system": "urn:mrn", "value": str(random.randrange(5))}
    target = f"{type}/{type.lower()}{random.randrange(most + 2)}"
    return random.choice(
        [{"reference": target}] * 6
        + [
            {"reference": f"http://elsewhere/{target}"},
            {"identifier": identifier, "type": type},
            {"display": "Ana"},
            {"reference": target, "identifier": identifier},
        ]
    )


def identifier(random: Random) -> Resource:
    kind = {"type": {"coding": [{"system": "urn:t", "code": random.choice(["MR", "SS"])}], "text": "Record number"}}
    return {"value": str(random.randrange(8)), **maybe(random, 0.8, system="urn:mrn"), **maybe(random, 0.4, **kind)}


def quantity(random: Random, loinc: str) -> Resource:
    unit, middle, step = random.choice(UNITS[loinc])
    value = Decimal(middle) + random.randint(-4, 4) * Decimal(step)
    number: Any = int(value) if value == int(value) and random.random() < 0.5 else value
    return {"value": number, "unit": unit, "system": UCUM, "code": unit, **maybe(random, 0.1, comparator="<")}


def organization(random: Random, n: int) -> Resource:
    name = random.choice(["Clinic", "Big Hospital", "Kliník"])
    return {
        "resourceType": "Organization",
        "id": f"organization{n}",
        "name": name,
        "active": random.random() < 0.5,
        "identifier": [identifier(random)],
        **maybe(random, 0.6, partOf=reference(random, "Organization", 8)),
    }


def practitioner(random: Random, n: int) -> Resource:
    return {"resourceType": "Practitioner", "id": f"practitioner{n}", "name": [human_name(random)]}


def human_name(random: Random) -> Resource:
    return {"family": random.choice(FAMILIES), "given": random.sample(GIVEN, random.randint(1, 2))}


def location(random: Random, n: int) -> Resource:
    place = {"latitude": Decimal(random.randint(400, 420)) / 10, "longitude": Decimal(random.randint(-20, 20)) / 10}
    return {
        "resourceType": "Location",
        "id": f"location{n}",
        "name": random.choice(CITIES),
        **maybe(random, 0.8, position=place),
        **maybe(random, 0.6, partOf=reference(random, "Location", n)),
    }


def patient(random: Random, n: int) -> Resource:
    told = {"status": "generated", "div": f"{DIV}{random.choice(FAMILIES)} &lt;seen&gt; {random.choice(CITIES)}</div>"}
    deceased = random.choice([{}, {}, {"deceasedBoolean": False}, {"deceasedDateTime": date(random)}])
    return {
        "resourceType": "Patient",
        "id": f"patient{n}",
        **deceased,
        "name": [human_name(random) for _ in range(random.randint(0, 2))] or [{"text": "Unknown"}],
        "identifier": [identifier(random) for _ in range(random.randint(1, 2))],
        **maybe(random, 0.9, gender=random.choice(["male", "female", "other"])),
        **maybe(random, 0.8, birthDate=random.choice(["1950", "1960-05", "1970-03-05", "1970-03-06"])),
        **maybe(
            random, 0.5, address=[{"city": random.choice(CITIES), "postalCode": str(random.randrange(3000, 3010))}]
        ),
        **maybe(random, 0.5, generalPractitioner=[reference(random, "Practitioner", 8)]),
        **maybe(random, 0.5, managingOrganization=reference(random, "Organization", 8)),
        **maybe(random, 0.4, text=told),
        **maybe(
            random,
            0.4,
            meta={
                "tag": [{"system": "urn:tag", "code": random.choice("xy"), "display": "Test data"}],
                "profile": ["http://x/profile/patient|1.2"],
            },
        ),
        **maybe(random, 0.4, communication=[{"language": {"coding": [{"code": "de", "display": "German"}]}}]),
    }


def encounter(random: Random, n: int) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": f"encounter{n}",
        "status": random.choice(["finished", "planned"]),
        "class": {"system": "urn:class", "code": random.choice(["AMB", "IMP"])},
        "subject": reference(random, "Patient", 30),
        **maybe(random, 0.8, period=period(random)),
        **maybe(random, 0.6, location=[{"location": reference(random, "Location", 12)}]),
        **maybe(random, 0.4, length={"value": random.choice([30, 60]), "system": UCUM, "code": "min"}),
        **maybe(random, 0.3, participant=[{"individual": reference(random, "Practitioner", 8)}]),
    }


def observation(random: Random, n: int) -> Resource:
    code, display = random.choice(LOINCS)
    value = random.choice(
        [{"valueQuantity": quantity(random, code)}] * 4
        + [
            {"valueCodeableConcept": concept(random, DISEASES, SNOMED)},
            {"valueString": random.choice(["Normal", "high"])},
            {"valueDateTime": date(random)},
            {},
        ]
    )
    parts = [
        {"code": {"coding": [{"system": LOINC, "code": part}]}, "valueQuantity": quantity(random, part)}
        for part, _ in random.sample(LOINCS, random.randint(0, 2))
    ]
    when: Resource = random.choice([{"effectiveDateTime": date(random)}, {"effectivePeriod": period(random)}, {}])
    return {
        "resourceType": "Observation",
        "id": f"observation{n}",
        "status": random.choice(["final", "amended"]),
        "code": {"coding": [{"system": LOINC, "code": code, "display": display}]},
        **value,
        **when,
        **maybe(random, 0.9, subject=reference(random, "Patient", 30)),
        **maybe(random, 0.5, encounter=reference(random, "Encounter", 25)),
        **maybe(random, 0.6, category=[concept(random, [("laboratory", "Lab"), ("vital-signs", "Vital")], "urn:cat")]),
        **maybe(random, 0.4, performer=[reference(random, random.choice(["Practitioner", "Organization"]), 8)]),
        **maybe(random, 0.2, hasMember=[reference(random, "Observation", 110)]),
        **maybe(random, 0.6, component=parts or [{"code": {"text": "x"}}]),
    }


def condition(random: Random, n: int) -> Resource:
    onset: Resource = random.choice(
        [
            {"onsetDateTime": date(random)},
            {"onsetPeriod": period(random)},
            {"onsetString": "Childhood"},
            {},
            {"onsetAge": {"value": random.choice([1, 2, 30]), "system": UCUM, "code": random.choice(["a", "mo"])}},
        ]
    )
    return {
        "resourceType": "Condition",
        "id": f"condition{n}",
        "code": concept(random, DISEASES, SNOMED),
        **onset,
        "subject": reference(random, "Patient", 30),
        **maybe(random, 0.4, recordedDate=date(random)),
        **maybe(random, 0.4, encounter=reference(random, "Encounter", 25)),
    }


def questionnaire_response(random: Random, n: int) -> Resource:
    asked = random.choice(["http://x/q|1.2.3", "http://x/q|1.20", "http://x/q", "http://x/q/2"])
    return {
        "resourceType": "QuestionnaireResponse",
        "id": f"questionnaireresponse{n}",
        "status": "completed",
        "questionnaire": asked,
        "subject": reference(random, "Patient", 30),
        "authored": date(random),
    }


def value_set(random: Random, n: int) -> Resource:
    url = random.choice(["http://x/fhir/ValueSet/1", "http://x/fhir/ValueSet/1/2", "http://x/fhir", "urn:oid:1.2"])
    included = [{"system": SNOMED, "concept": [{"code": code} for code, _ in random.sample(DISEASES, 2)]}]
    return {
        "resourceType": "ValueSet",
        "id": f"valueset{n}",
        "status": "active",
        "url": url,
        "version": str(n),
        "compose": {"include": included},
    }


def listing(random: Random, n: int) -> Resource:
    items = [{"item": reference(random, random.choice(["Patient", "Condition"]), 30)} for _ in range(5)]
    return {"resourceType": "List", "id": f"list{n}", "status": "current", "mode": "working", "entry": items}


def risk(random: Random, n: int) -> Resource:
    prediction: Resource = random.choice(
        [
            {"probabilityDecimal": Decimal(random.choice(["0.10", "0.1", "0.25", "1", "1E-2"]))},
            {"probabilityRange": {"low": {"value": Decimal("0.1")}, "high": {"value": Decimal("0.3")}}},
        ]
    )
    return {
        "resourceType": "RiskAssessment",
        "id": f"riskassessment{n}",
        "status": "final",
        "subject": reference(random, "Patient", 30),
        "prediction": [prediction],
    }
