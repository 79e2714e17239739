"""The cancer, where it has spread, and other illnesses. https://hl7.org/fhir/us/mcode/StructureDefinition-mcode-primary-cancer-condition.html"""

from datetime import date, timedelta
from random import Random

from examples.codes import ICD10CM, MCODE, ONCOTREE, SNOMED, Resource, coding, concept, reference, resource
from examples.tumours import Diagnosis, Tumour

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"

SPREAD = (
    ("94381002", "Secondary malignant neoplasm of liver", "C78.7"),
    ("94222008", "Secondary malignant neoplasm of bone", "C79.51"),
    ("94391008", "Secondary malignant neoplasm of lung", "C78.00"),
    ("94225005", "Secondary malignant neoplasm of brain", "C79.31"),
)
OTHER_ILLNESSES = (
    ("59621000", "Essential hypertension", "I10"),
    ("44054006", "Diabetes mellitus type 2", "E11.9"),
    ("13645005", "Chronic obstructive lung disease", "J44.9"),
    ("35489007", "Depressive disorder", "F32.A"),
)


def code_of(diagnosis: Diagnosis, local_only: bool = False) -> Resource:
    """The CodeableConcept of a diagnosis; `local_only` leaves out OncoTree, as most hospital records do."""
    codings = [coding(SNOMED, diagnosis.snomed)] if diagnosis.snomed else []
    if not local_only or not codings:
        codings.append(coding(ONCOTREE, diagnosis.oncotree, diagnosis.name))
    codings.append(coding(ICD10CM, diagnosis.icd10cm))
    return {"coding": codings, "text": diagnosis.name}


def cancer(
    random: Random, key: str, patient: Resource, tumour: Tumour, diagnosed: date, textbook: bool
) -> tuple[list[Resource], str]:
    """The primary cancer, at times coded only by organ, with its spread if the stage is IV; and the stage ("" if none).

    A textbook case is always coded exactly and active.
    """
    stage = random.choice(tumour.stages) if tumour.stages else ""
    vague = not textbook and random.random() < 0.12
    diagnosis = tumour.broader if vague else tumour.diagnosis
    status = "active" if textbook else random.choices(("active", "recurrence", "remission"), (80, 12, 8))[0]
    primary = resource(
        "Condition",
        f"{key}-cancer",
        f"{MCODE}/mcode-primary-cancer-condition",
        clinicalStatus=concept(CLINICAL, status),
        verificationStatus=concept(VERIFICATION, "confirmed"),
        category=[concept(CATEGORY, "problem-list-item")],
        code=code_of(diagnosis, local_only=not textbook and random.random() < 0.2),
        bodySite=[concept(SNOMED, *tumour.site)],
        subject=reference(patient),
        onsetDateTime=diagnosed.isoformat(),
        recordedDate=(diagnosed + timedelta(days=random.randint(0, 9))).isoformat(),
        stage=[{"summary": {"text": f"Stage {stage}"}}] if stage else [],
    )
    if stage != "IV":
        return [primary], stage
    where = random.sample([spread for spread in SPREAD if spread[2][:3] != "C78" or tumour.site[0] != "10200004"], 1)
    return [primary, *(_secondary(key, patient, primary, each, diagnosed) for each in where)], stage


def _secondary(
    key: str, patient: Resource, primary: Resource, spread: tuple[str, str, str], diagnosed: date
) -> Resource:
    snomed, words, icd10cm = spread
    related = {"url": "http://hl7.org/fhir/StructureDefinition/condition-related", "valueReference": reference(primary)}
    return resource(
        "Condition",
        f"{key}-metastasis",
        f"{MCODE}/mcode-secondary-cancer-condition",
        extension=[related],
        clinicalStatus=concept(CLINICAL, "active"),
        verificationStatus=concept(VERIFICATION, "confirmed"),
        category=[concept(CATEGORY, "problem-list-item")],
        code={"coding": [coding(SNOMED, snomed, words), coding(ICD10CM, icd10cm)], "text": words},
        subject=reference(patient),
        onsetDateTime=diagnosed.isoformat(),
    )


def comorbidities(random: Random, key: str, patient: Resource, age: int, as_of: date) -> list[Resource]:
    """Other long-standing illnesses, likelier with age."""
    have = [each for each in OTHER_ILLNESSES if age > 30 and random.random() < age / 320]
    return [
        resource(
            "Condition",
            f"{key}-other-{number}",
            "http://hl7.org/fhir/us/core/StructureDefinition/us-core-condition-problems-health-concerns",
            clinicalStatus=concept(CLINICAL, "active"),
            verificationStatus=concept(VERIFICATION, "confirmed"),
            category=[concept(CATEGORY, "problem-list-item")],
            code={"coding": [coding(SNOMED, snomed, words), coding(ICD10CM, icd10cm)], "text": words},
            subject=reference(patient),
            onsetDateTime=str(as_of.year - random.randint(1, 15)),
        )
        for number, (snomed, words, icd10cm) in enumerate(have, 1)
    ]
