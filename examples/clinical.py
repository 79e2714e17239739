"""How a patient is doing (ECOG, Karnofsky) and what was given. https://hl7.org/fhir/us/mcode/StructureDefinition-mcode-ecog-performance-status.html"""

from datetime import date, timedelta
from random import Random

from examples.care import oncologist
from examples.codes import LOINC, MCODE, OBSERVATION_CATEGORY, RXNORM, SNOMED, Resource, concept, reference, resource
from examples.drugs import DRUGS
from examples.tumours import Tumour

ECOG = ("LA9622-7", "LA9623-5", "LA9624-3", "LA9625-0", "LA9626-8")
KARNOFSKY = {100: "LA29175-9", 90: "LA29176-7", 80: "LA29177-5", 70: "LA29178-3", 60: "LA29179-1"}


def performance(
    random: Random, key: str, patient: Resource, age: int, hospital: int, as_of: date, textbook: bool
) -> list[Resource]:
    """ECOG for most adults and adolescents, Karnofsky beside or instead of it for some, nothing for a few."""
    if age < 12:
        return []
    day = as_of - timedelta(days=random.randint(3, 40))
    score = random.choice((0, 1)) if textbook else random.choices((0, 1, 2, 3), (35, 40, 18, 7))[0]
    made = []
    if textbook or random.random() < 0.8:
        made.append(
            _status(
                key, patient, hospital, day, "ecog", ("89247-1", "ECOG Performance Status score"), score, ECOG[score]
            )
        )
    if random.random() < 0.25:
        value = (100, 90, 70, 60)[score] if random.random() < 0.5 else (90, 80, 70, 60)[score]
        code = ("89243-0", "Karnofsky Performance Status score")
        made.append(_status(key, patient, hospital, day, "karnofsky", code, value, KARNOFSKY[value]))
    return made


def _status(
    key: str,
    patient: Resource,
    hospital: int,
    day: date,
    name: str,
    code: tuple[str, str],
    value: int,
    answer: str,
) -> Resource:
    return resource(
        "Observation",
        f"{key}-{name}",
        f"{MCODE}/mcode-{name}-performance-status",
        status="final",
        category=[concept(OBSERVATION_CATEGORY, "survey", "Survey")],
        code=concept(LOINC, *code),
        subject=reference(patient),
        effectiveDateTime=day.isoformat(),
        performer=[oncologist(hospital)],
        valueInteger=value,
        interpretation=[concept(LOINC, answer)],
        method=concept(SNOMED, "5880005", "Clinical examination"),
    )


def medications(
    random: Random,
    key: str,
    patient: Resource,
    tumour: Tumour,
    condition: Resource,
    hospital: int,
    diagnosed: date,
    as_of: date,
    textbook: bool,
) -> list[Resource]:
    """What was given (a finished statement, or a request still active), and what is known not to have been taken.

    Of a medicine that is neither listed as given nor as not taken, nobody knows.
    """
    given = [*tumour.taken] if textbook else [name for name, chance in tumour.drugs if random.random() < chance]
    spared = [name for name in tumour.asked if name not in given and (textbook or random.random() < 0.75)]
    made = []
    start = diagnosed + timedelta(days=random.randint(15, 50))
    for position, name in enumerate(given):
        end = start + timedelta(days=random.randint(40, 150))
        if end >= as_of or (position == len(given) - 1 and random.random() < 0.3):
            made.append(_request(f"{key}-rx-{name}", patient, name, condition, hospital, min(start, as_of)))
        else:
            period = {"effectivePeriod": {"start": start.isoformat(), "end": end.isoformat()}}
            made.append(_statement(f"{key}-med-{name}", patient, name, condition, "completed", as_of, period))
        start = min(end + timedelta(days=random.randint(5, 40)), as_of - timedelta(days=2))
    made += [_statement(f"{key}-med-{name}", patient, name, condition, "not-taken", as_of, {}) for name in spared]
    return made


def _medicine(name: str) -> Resource:
    return concept(RXNORM, DRUGS[name], name) | {"text": name}


def _statement(
    key: str, patient: Resource, name: str, condition: Resource, status: str, asserted: date, when: Resource
) -> Resource:
    return resource(
        "MedicationStatement",
        key,
        status=status,
        medicationCodeableConcept=_medicine(name),
        subject=reference(patient),
        dateAsserted=asserted.isoformat(),
        reasonReference=[reference(condition)],
        **when,
    )


def _request(key: str, patient: Resource, name: str, condition: Resource, hospital: int, day: date) -> Resource:
    return resource(
        "MedicationRequest",
        key,
        f"{MCODE}/mcode-cancer-related-medication-request",
        status="active",
        intent="order",
        medicationCodeableConcept=_medicine(name),
        subject=reference(patient),
        authoredOn=day.isoformat(),
        requester=oncologist(hospital),
        reasonReference=[reference(condition)],
    )
