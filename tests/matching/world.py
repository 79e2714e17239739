"""Builders of the resources that matching tests need: small, valid R4, synthetic."""

from typing import Any

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
ONCOTREE = "http://oncotree.mskcc.org"
HGVS = "http://varnomen.hgvs.org"
HGNC = "http://www.genenames.org"
NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
OWN = "https://participation.example/fhir"
METHOD = f"{OWN}/StructureDefinition/group-combination-method"
MEGABASE = {"system": "http://unitsofmeasure.org", "code": "1/1000000{Base}"}
OSIMERTINIB = (RXNORM, "1721560")

Resource = dict[str, Any]


def concept(*codings: tuple[str, str], text: str | None = None) -> Resource:
    found: Resource = {"coding": [{"system": system, "code": code} for system, code in codings]}
    return {**found, "text": text} if text else found


def about(patient: str) -> Resource:
    return {"reference": f"Patient/{patient}"}


def patient(id: str = "p", birth: str | None = "1960-05-01", **more: Any) -> Resource:
    return {"resourceType": "Patient", "id": id, **({"birthDate": birth} if birth else {}), **more}


def condition(id: str, *codings: tuple[str, str], of: str = "p", clinical: str = "active", **more: Any) -> Resource:
    return {
        "resourceType": "Condition",
        "id": id,
        "clinicalStatus": concept(("http://terminology.hl7.org/CodeSystem/condition-clinical", clinical)),
        "code": concept(*codings),
        "subject": about(of),
        **more,
    }


def verified(code: str) -> Resource:
    return concept(("http://terminology.hl7.org/CodeSystem/condition-ver-status", code))


def observation(
    id: str, code: str, of: str = "p", status: str = "final", date: str = "2026-04-02", **more: Any
) -> Resource:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": status,
        "code": concept((LOINC, code)),
        "subject": about(of),
        "effectiveDateTime": date,
        **more,
    }


def component(code: str, *codings: tuple[str, str]) -> Resource:
    return {"code": concept((LOINC, code)), "valueCodeableConcept": concept(*codings)}


def variant(id: str, gene: str | None, change: str | None, answer: str = "LA9633-4", **more: Any) -> Resource:
    parts = [component("48018-6", (HGNC, gene))] if gene else []
    if change:
        parts.append(component("48004-6" if "c." in change else "48005-3", (HGVS, change)))
    value = {"valueCodeableConcept": concept((LOINC, answer))}
    return observation(id, "69548-6", **value, **({"component": parts} if parts else {}), **more)


def region(id: str, *genes: str, **more: Any) -> Resource:
    extra = more.pop("component", [])
    return observation(id, "53041-0", component=[component("48018-6", (HGNC, gene)) for gene in genes] + extra, **more)


def ecog(id: str, value: int, **more: Any) -> Resource:
    return observation(id, "89247-1", valueInteger=value, **more)


def tmb(id: str, value: float, unit: str = "1/1000000{Base}", **more: Any) -> Resource:
    return observation(id, "94076-7", valueQuantity={"value": value, "code": unit}, **more)


def msi(id: str, answer: str, **more: Any) -> Resource:
    return observation(id, "81695-9", valueCodeableConcept=concept((LOINC, answer)), **more)


def statement(id: str, *codings: tuple[str, str], status: str = "completed", of: str = "p") -> Resource:
    return {
        "resourceType": "MedicationStatement",
        "id": id,
        "status": status,
        "medicationCodeableConcept": concept(*codings),
        "subject": about(of),
    }


def consent(id: str, of: str = "p", status: str = "active", made: str | None = "2025-01-01", **more: Any) -> Resource:
    scope = more.pop("scope", "research")
    provision = more.pop("provision", {"type": "permit", "purpose": [purpose("HRESCH")]})
    return {
        "resourceType": "Consent",
        "id": id,
        "status": status,
        "scope": concept(("http://terminology.hl7.org/CodeSystem/consentscope", scope)),
        "category": [concept((LOINC, "59284-0"))],
        "patient": about(of),
        **({"dateTime": made} if made else {}),
        "policy": [{"uri": more.pop("policy", "https://example.org/policy")}],
        "provision": provision,
        **more,
    }


def purpose(code: str) -> Resource:
    return {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": code}


def trait(id: str, code: str, exclude: bool = False, **value: Any) -> Resource:
    return {"id": id, "code": concept((LOINC, code)), **value, "exclude": exclude}


def within(id: str, reference: str, exclude: bool = False) -> Resource:
    kind = concept((f"{OWN}/CodeSystem/criterion-kind", "in-group"))
    return {"id": id, "code": kind, "valueReference": {"reference": reference}, "exclude": exclude}


def group(id: str, *traits: Resource, method: str | None = None, **more: Any) -> Resource:
    body: Resource = {"resourceType": "Group", "id": id, "type": "person", "actual": False, **more}
    if method:
        body["modifierExtension"] = [{"url": METHOD, "valueCode": method}]
    return {**body, "characteristic": list(traits)} if traits else body


def study(id: str = "s", *groups: str, status: str = "active", **more: Any) -> Resource:
    enrolled = [{"reference": f"Group/{group}"} for group in groups or (f"{id}-eligibility",)]
    return {"resourceType": "ResearchStudy", "id": id, "status": status, "enrollment": enrolled, **more}


def worked_example() -> tuple[Resource, Resource]:
    """A study of EGFR-mutant lung cancer and its criteria: nested groups, synonyms, exclusions, one- and two-sided."""
    egfr = group(
        "egfr",
        trait("c3a", "69548-6", valueCodeableConcept=concept((NCIT, "C126892"))),
        trait("c3b", "69548-6", valueCodeableConcept=concept((HGVS, "NP_005219.2:p.Leu858Arg"))),
        method="any-of",
    )
    io = group(
        "io",
        trait("c6a", "94076-7", valueQuantity={"value": 10, "comparator": ">=", **MEGABASE}),
        trait("c6b", "81695-9", valueCodeableConcept=concept((LOINC, "LA26203-2"))),
        method="any-of",
    )
    adult = {"value": 18, "comparator": ">=", "system": "http://unitsofmeasure.org", "code": "a"}
    eligibility = group(
        "egfr-nsclc-01-eligibility",
        trait("c1", "29308-4", valueCodeableConcept=concept((SNOMED, "254637007"), (ONCOTREE, "NSCLC"))),
        trait("c2", "30525-0", valueQuantity=adult),
        within("c3", "#egfr"),
        trait("c4", "69548-6", valueCodeableConcept=concept((HGVS, "NP_005219.2:p.Thr790Met")), exclude=True),
        trait("c5", "89247-1", valueRange={"low": {"value": 0}, "high": {"value": 1}}),
        within("c6", "#io"),
        trait("c7", "10160-0", valueCodeableConcept=concept(OSIMERTINIB), exclude=True),
        contained=[egfr, io],
    )
    return study("egfr-nsclc-01", "egfr-nsclc-01-eligibility", arm=[{"name": "Single arm"}]), eligibility


def fitting_record(of: str = "p") -> list[Resource]:
    """A record that meets every criterion of the worked example."""
    return [
        condition(f"{of}-dx", (ONCOTREE, "LUAD"), of=of),
        variant(f"{of}-var", "HGNC:3236", "NP_005219.2:p.Leu858Arg", of=of),
        region(f"{of}-region", "HGNC:3236", of=of),
        ecog(f"{of}-ecog", 1, of=of),
        tmb(f"{of}-tmb", 12, of=of),
        statement(f"{of}-osi", OSIMERTINIB, status="not-taken", of=of),
    ]
