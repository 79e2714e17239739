"""Code systems and the few FHIR shapes that every example resource is built from. https://hl7.org/fhir/R4/datatypes.html"""

from typing import Any

Resource = dict[str, Any]

BASE = "https://participation.example/fhir"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ONCOTREE = "http://oncotree.mskcc.org"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
HGNC = "http://www.genenames.org"
HGVS = "http://varnomen.hgvs.org"
SEQUENCE_ONTOLOGY = "http://www.sequenceontology.org"
UCUM = "http://unitsofmeasure.org"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ROLE_CODE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
SPECIMEN_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0487"
DIAGNOSTIC_SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition"
GENOMICS_REPORTING = "http://hl7.org/fhir/uv/genomics-reporting/StructureDefinition"

# What shows at a glance, and in every search with _tag, that a resource describes nobody.
SYNTHETIC = {"system": f"{BASE}/CodeSystem/data-origin", "code": "synthetic", "display": "Synthetic data"}


def coding(system: str, code: str, display: str = "") -> Resource:
    """A Coding."""
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(system: str, code: str, display: str = "") -> Resource:
    """A CodeableConcept of one coding."""
    return {"coding": [coding(system, code, display)]}


def reference(resource: Resource, display: str = "") -> Resource:
    """A relative Reference to a resource of this data set."""
    to = {"reference": f"{resource['resourceType']}/{resource['id']}"}
    return to | ({"display": display} if display else {})


def resource(kind: str, key: str, *profiles: str, **elements: Any) -> Resource:
    """A resource with id `key`, tagged synthetic; elements given as None or empty are left out."""
    meta: Resource = ({"profile": list(profiles)} if profiles else {}) | {"tag": [SYNTHETIC]}
    present = {name: value for name, value in elements.items() if value not in (None, [], {})}
    return {"resourceType": kind, "id": key, "meta": meta} | present


def transaction(key: str, resources: list[Resource]) -> Resource:
    """A transaction Bundle of updates (PUT Type/id), so that loading it again changes nothing but versions."""
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in resources
    ]
    return {"resourceType": "Bundle", "id": key, "type": "transaction", "entry": entries}
