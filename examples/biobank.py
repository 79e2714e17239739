"""The way of a biopsy and of blood into the biobank: parent, block and aliquots. https://hl7.org/fhir/R4/specimen.html"""

from datetime import date, timedelta
from random import Random

from examples.codes import BASE, SNOMED, SPECIMEN_TYPE, Resource, concept, reference, resource
from examples.tumours import MARROW_SITE, Tumour

ACCESSION = f"{BASE}/accession"
CONTAINER = f"{BASE}/container"

BLOOD = ("BLD", "Whole blood")
PLASMA = ("PLAS", "Plasma")
TUMOUR = ("TUMOR", "Tumor")
TISSUE = ("TISS", "Tissue")
MARROW = ("MAR", "Marrow")

MINUS_80 = "Stored at -80 degrees Celsius"
ROOM = "Stored at room temperature"


def specimens(random: Random, key: str, patient: Resource, tumour: Tumour, biopsied: date) -> list[Resource]:
    """Biopsy (first in the list), paraffin block, DNA-grade aliquots; blood draw and plasma aliquots.

    Every derived specimen names its parent. A few are used up (unavailable) or were of poor quality (unsatisfactory).
    """
    marrow = tumour.site == MARROW_SITE
    biopsy = _specimen(key, "biopsy", patient, MARROW if marrow else TUMOUR, biopsied, collected_from=tumour.site)
    made = [biopsy]
    if not marrow:
        made.append(_derived(key, "block", biopsy, TISSUE, biopsied + timedelta(days=1), "Embedding in paraffin", ROOM))
    parent = made[-1]
    frozen = biopsied + timedelta(days=2)
    for number in range(1, random.randint(1, 3) + 1):
        step = "Sectioning and snap freezing"
        made.append(_derived(key, f"aliquot-{number}", parent, TISSUE, frozen, step, MINUS_80))
    drawn = biopsied + timedelta(days=random.randint(0, 10))
    blood = _specimen(key, "blood", patient, BLOOD, drawn, volume=10)
    made.append(blood)
    for number in range(1, random.randint(1, 2) + 1):
        made.append(
            _derived(key, f"plasma-{number}", blood, PLASMA, drawn, "Double centrifugation", MINUS_80, volume=2)
        )
    for each in made[1:]:
        each["status"] = random.choices(("available", "unavailable", "unsatisfactory"), (90, 7, 3))[0]
    return made


def _specimen(
    key: str,
    name: str,
    patient: Resource,
    kind: tuple[str, str],
    day: date,
    collected_from: tuple[str, str] | None = None,
    volume: int = 0,
) -> Resource:
    site = {"bodySite": concept(SNOMED, *collected_from)} if collected_from else {}
    amount = {"quantity": _millilitres(volume)} if volume else {}
    return resource(
        "Specimen",
        f"{key}-{name}",
        "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-human-specimen",
        identifier=[{"system": f"{BASE}/specimen", "value": f"{key}-{name}"}],
        accessionIdentifier={"system": ACCESSION, "value": f"ACC-{key}-{name}"},
        status="available",
        type=concept(SPECIMEN_TYPE, *kind),
        subject={"reference": f"Patient/{patient['id']}"},
        receivedTime=f"{day.isoformat()}T14:30:00Z",
        collection={"collectedDateTime": day.isoformat()} | site | amount,
        container=[_container(key, name, "Collection tube" if volume else "Biopsy container", volume)],
    )


def _derived(
    key: str,
    name: str,
    parent: Resource,
    kind: tuple[str, str],
    day: date,
    step: str,
    storage: str,
    volume: int = 0,
) -> Resource:
    return resource(
        "Specimen",
        f"{key}-{name}",
        "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-human-specimen",
        identifier=[{"system": f"{BASE}/specimen", "value": f"{key}-{name}"}],
        status="available",
        type=concept(SPECIMEN_TYPE, *kind),
        subject=parent["subject"],
        parent=[reference(parent)],
        collection=parent["collection"],
        processing=[
            {"description": step, "timeDateTime": day.isoformat()},
            {"description": storage, "timeDateTime": day.isoformat()},
        ],
        container=[_container(key, name, "Cryovial" if storage == MINUS_80 else "Paraffin block", volume)],
    )


def _container(key: str, name: str, kind: str, volume: int) -> Resource:
    filled = {"specimenQuantity": _millilitres(volume)} if volume else {}
    return {"identifier": [{"system": CONTAINER, "value": f"TUBE-{key}-{name}"}], "type": {"text": kind}} | filled


def _millilitres(volume: int) -> Resource:
    return {"value": volume, "unit": "mL", "system": "http://unitsofmeasure.org", "code": "mL"}
