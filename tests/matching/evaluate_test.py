"""Each kind of criterion met, not met and unknown, and what it rests on."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_server.fhir.codec import decode, encode
from fhir_server.matching.criteria import Study, compile_study, leaves
from fhir_server.matching.evaluate import evaluate_study
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Finding
from fhir_server.matching.genes import genes_of
from fhir_server.matching.reading import facts_of
from fhir_server.terminology.codes import Terminology, load
from tests.matching import world as w

NOW = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp() * 1_000_000)
TERMS: Terminology = load()
EGFR = "HGNC:3236"


def facts(*record: w.Resource, patient: w.Resource | None = None) -> Facts:
    versioned = [(decode(encode(resource)), 2) for resource in record]  # decoded: decimals, as from the store
    return facts_of(patient or w.patient(), 3, versioned, genes_of(TERMS), lambda reference: None)


def read(study: w.Resource, *groups: w.Resource) -> Study:
    by_reference = {f"Group/{group['id']}": (decode(encode(group)), 1) for group in groups}
    return compile_study(study, 1, by_reference.get, TERMS)


def one(trait: w.Resource, known: Facts) -> Finding:
    """The finding for a study with a single criterion."""
    study = read(w.study(), w.group("s-eligibility", trait))
    outcome, (result,) = evaluate_study(study, known, TERMS, NOW)
    assert outcome == result.outcome
    return result.criteria[0].finding


def diagnosis(*codings: tuple[str, str]) -> w.Resource:
    return w.trait("c", "29308-4", valueCodeableConcept=w.concept(*codings))


def needs(*codings: tuple[str, str], exclude: bool = False) -> w.Resource:
    return w.trait("c", "69548-6", valueCodeableConcept=w.concept(*codings), exclude=exclude)


NSCLC = diagnosis((w.ONCOTREE, "NSCLC"))


@pytest.mark.parametrize(
    ("codings", "outcome"),
    [
        ([(w.ONCOTREE, "NSCLC")], "met"),
        ([(w.ONCOTREE, "LUAD")], "met"),
        ([(w.SNOMED, "254637007")], "met"),
        ([(w.SNOMED, "254626006")], "met"),  # adenocarcinoma of lung
        ([(w.SNOMED, "93880001"), (w.ONCOTREE, "LUSC")], "met"),  # synonyms: the more exact one tells
        ([(w.ONCOTREE, "LUNG")], "unknown"),  # less exact than asked
        ([(w.SNOMED, "363358000")], "unknown"),
        ([("http://hl7.org/fhir/sid/icd-10-cm", "C34.90")], "unknown"),
        ([(w.ONCOTREE, "IDC")], "not-met"),
        ([(w.SNOMED, "254837009")], "not-met"),  # breast
        ([("http://hl7.org/fhir/sid/icd-10-cm", "C50.911")], "not-met"),
        ([(w.SNOMED, "38341003")], "unknown"),  # hypertension says nothing of a tumour
        ([("http://hl7.org/fhir/sid/icd-10-cm", "I10")], "unknown"),
        ([("urn:local", "lung-ca")], "unknown"),
    ],
)
def test_diagnosis_by_subsumption(codings: list[tuple[str, str]], outcome: str) -> None:
    assert one(NSCLC, facts(w.condition("d", *codings))).outcome == outcome


def test_no_diagnosis_is_unknown_and_so_is_its_exclusion() -> None:
    assert one(NSCLC, facts()).outcome == "unknown"
    assert one({**NSCLC, "exclude": True}, facts()).outcome == "unknown"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ({}, "met"),
        ({"clinical": "recurrence"}, "met"),
        ({"clinical": "remission"}, "unknown"),
        ({"verificationStatus": w.verified("confirmed")}, "met"),
        ({"verificationStatus": w.verified("provisional")}, "unknown"),
        ({"verificationStatus": w.verified("refuted")}, "unknown"),
        ({"verificationStatus": w.verified("entered-in-error")}, "unknown"),
    ],
)
def test_status_of_a_diagnosis_counts(status: dict[str, Any], outcome: str) -> None:
    finding = one(NSCLC, facts(w.condition("d", (w.ONCOTREE, "LUAD"), **status)))
    assert finding.outcome == outcome
    refuted = status.get("verificationStatus") in (w.verified("refuted"), w.verified("entered-in-error"))
    assert finding.evidence == (() if refuted else ("Condition/d/_history/2",))


def test_another_diagnosis_beside_an_unrelated_condition_is_not_met() -> None:
    record = w.condition("a", (w.ONCOTREE, "GB")), w.condition("b", (w.SNOMED, "38341003"))
    assert one(NSCLC, facts(*record)).outcome == "not-met"


def test_a_cancer_that_cannot_be_compared_leaves_it_unknown() -> None:
    profile = {"profile": ["http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-primary-cancer-condition"]}
    record = w.condition("a", (w.ONCOTREE, "GB")), w.condition("b", ("urn:local", "x"), meta=profile)
    assert one(NSCLC, facts(*record)).outcome == "unknown"


def test_a_metastasis_is_not_taken_for_another_primary() -> None:
    record = w.condition("a", (w.ONCOTREE, "PRAD")), w.condition("b", ("http://hl7.org/fhir/sid/icd-10-cm", "C79.51"))
    assert one(NSCLC, facts(*record)).outcome == "not-met"
    unclear = w.condition("b", ("http://hl7.org/fhir/sid/icd-10-cm", "C80.1"))
    assert one(NSCLC, facts(record[0], unclear)).outcome == "unknown"


def test_only_tumours_exclude_one_another() -> None:
    pressure = {**diagnosis(("http://hl7.org/fhir/sid/icd-10-cm", "I10")), "exclude": True}
    assert one(pressure, facts(w.condition("d", ("http://hl7.org/fhir/sid/icd-10-cm", "C34.90")))).outcome == "unknown"
    leukaemia = diagnosis((w.ONCOTREE, "AML"))
    assert one(leukaemia, facts(w.condition("d", ("http://hl7.org/fhir/sid/icd-10-cm", "I10")))).outcome == "unknown"


def test_groups_of_tumours() -> None:
    solid = diagnosis((f"{w.OWN}/CodeSystem/diagnosis-group", "solid-tumour"))
    assert one(solid, facts(w.condition("d", (w.SNOMED, "432328008")))).outcome == "met"
    assert one(solid, facts(w.condition("d", (w.ONCOTREE, "AML")))).outcome == "not-met"


def years(value: float, comparator: str | None = None, unit: str = "a") -> w.Resource:
    quantity = {"value": value, "code": unit, **({"comparator": comparator} if comparator else {})}
    return w.trait("c", "30525-0", valueQuantity=quantity)


@pytest.mark.parametrize(
    ("birth", "trait", "outcome"),
    [
        ("2008-06-01", years(18, ">="), "met"),  # the birthday itself
        ("2008-06-02", years(18, ">="), "not-met"),
        ("2008-06-01", years(17, "<="), "not-met"),
        ("2008-06-02", years(17, "<="), "met"),
        ("2008-06-02", years(18, "<"), "met"),
        ("2007-06-01", years(18, ">"), "met"),
        ("2007-06-02", years(18), "met"),  # no comparator: exactly
        ("2007-06-01", years(18), "not-met"),
        ("2008", years(18, ">="), "unknown"),
        ("2007", years(18, ">="), "met"),
        ("2009", years(18, ">="), "not-met"),
        ("2008-06", years(18, ">="), "unknown"),
        ("2008-05", years(18, ">="), "met"),
        ("2025-12-01", years(6, ">=", "mo"), "met"),
        ("2025-12-02", years(6, ">=", "mo"), "not-met"),
        ("2025-12-01", years(0.5, ">="), "met"),
        ("2025-12-02", years(0.5, ">="), "not-met"),
        ("2026-05-25", years(1, ">=", "wk"), "met"),
        (None, years(18, ">="), "unknown"),
        (
            "2008-06-01",
            w.trait("c", "30525-0", valueRange={"low": {"value": 1, "code": "a"}, "high": {"value": 18, "code": "a"}}),
            "met",
        ),
        (
            "2007-06-01",
            w.trait("c", "30525-0", valueRange={"low": {"value": 1, "code": "a"}, "high": {"value": 18, "code": "a"}}),
            "not-met",
        ),
    ],
)
def test_age_in_completed_units(birth: str | None, trait: w.Resource, outcome: str) -> None:
    finding = one(trait, facts(patient=w.patient(birth=birth)))
    assert finding.outcome == outcome
    assert finding.evidence == (("Patient/p/_history/3",) if birth else ())


L858R = needs((w.HGVS, "NP_005219.2:p.Leu858Arg"))


@pytest.mark.parametrize(
    ("trait", "found", "outcome"),
    [
        (L858R, ("HGNC:3236", "p.L858R"), "met"),
        (L858R, ("EGFR", "p.(Leu858Arg)"), "met"),
        (L858R, (None, "NP_005219.1:p.Leu858Arg"), "met"),
        (L858R, (None, "EGFR p.L858R"), "met"),
        (L858R, (None, "p.L858R"), "unknown"),  # of which gene?
        (L858R, ("HGNC:1097", "p.L858R"), "unknown"),
        (L858R, ("HGNC:3236", "p.L861Q"), "unknown"),
        (L858R, ("HGNC:3236", "c.2573T>G"), "unknown"),  # not comparable
        (L858R, ("HGNC:3236", None), "unknown"),
        (needs((w.HGNC, "HGNC:3236")), ("HGNC:3236", "p.L861Q"), "met"),
        (needs((w.HGNC, "EGFR")), ("HGNC:3236", "p.L861Q"), "met"),
        (needs((w.HGNC, "EGFR")), (None, "NM_005228.5:c.2573T>G"), "met"),
        (needs((w.HGNC, "HGNC:1097"), (w.HGVS, "p.V600E")), ("BRAF", "p.Val600Glu"), "met"),
        (needs((w.HGVS, "BRAF p.V600E")), ("HGNC:1097", "p.Val600Lys"), "unknown"),
        (needs((w.HGVS, "NM_005228.5:c.2573T>G")), (None, "NM_005228.3:c.2573T>G"), "met"),
        (needs((w.NCIT, "C126892")), ("EGFR", "p.Glu746_Ala750del"), "met"),
        (needs((w.NCIT, "C126892")), ("EGFR", "p.L747_P753delinsS"), "met"),
        (needs((w.NCIT, "C126892")), ("EGFR", "p.A767_V769dup"), "unknown"),
        (needs((f"{w.OWN}/CodeSystem/variant-group", "h3-k27m")), ("H3-3A", "p.Lys28Met"), "met"),
        (needs((f"{w.OWN}/CodeSystem/variant-group", "h3-k27m")), ("H3C2", "p.K27M"), "met"),
        (needs((f"{w.OWN}/CodeSystem/variant-group", "kras-g12")), ("KRAS", "p.G12C"), "met"),
        (needs((f"{w.OWN}/CodeSystem/variant-group", "kras-g12")), ("KRAS", "p.G13D"), "unknown"),
    ],
)
def test_variants_in_every_spelling(trait: w.Resource, found: tuple[str | None, str | None], outcome: str) -> None:
    finding = one(trait, facts(w.variant("v", *found)))
    assert finding.outcome == outcome
    if outcome == "met":
        assert finding.evidence == ("Observation/v/_history/2",)


def test_a_tagged_variant_meets_its_concept() -> None:
    tagged = w.variant("v", None, None, component=[w.component("81252-9", (w.NCIT, "C126892"))])
    assert one(needs((w.NCIT, "C126892")), facts(tagged)).outcome == "met"


ABSENT, NO_CALL = "LA9634-2", "LA18198-4"


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ([], "unknown"),
        ([w.variant("v", EGFR, "p.T790M", ABSENT)], "not-met"),
        ([w.variant("v", EGFR, None, ABSENT)], "not-met"),  # the whole gene was negative
        ([w.variant("v", EGFR, "p.L858R", ABSENT)], "unknown"),  # another change was looked for
        ([w.variant("v", EGFR, "p.T790M", NO_CALL)], "unknown"),
        ([w.variant("v", EGFR, "p.T790M", ABSENT, status="preliminary")], "unknown"),
        ([w.variant("v", EGFR, "p.T790M", ABSENT, status="entered-in-error")], "unknown"),
        ([w.variant("v", EGFR, "p.T790M", status="entered-in-error")], "unknown"),
        ([w.variant("v", EGFR, "p.T790M", status="cancelled")], "unknown"),
        ([w.variant("v", EGFR, "p.T790M", status="preliminary")], "unknown"),
        ([w.region("r", EGFR)], "not-met"),
        ([w.region("r", "HGNC:1097", "EGFR")], "not-met"),
        ([w.region("r", "HGNC:1097")], "unknown"),
        ([w.region("r", EGFR, status="preliminary")], "unknown"),
        ([w.region("r", EGFR, component=[{"code": w.concept((w.LOINC, "51959-5"))}])], "unknown"),
        ([w.region("r", EGFR, component=[w.component("36908-2", (w.HGVS, "EGFR p.T790M"))])], "not-met"),
        ([w.region("r", EGFR, component=[w.component("36908-2", (w.HGVS, "EGFR p.L858R"))])], "unknown"),
        ([w.region("r", EGFR), w.variant("v", EGFR, "p.L858R")], "not-met"),
        ([w.region("r", EGFR), w.variant("v", EGFR, None)], "unknown"),  # which one?
        ([w.region("r", EGFR), w.variant("v", EGFR, "p.Thr790Met")], "met"),
    ],
)
def test_absence_of_a_variant_needs_evidence(record: list[w.Resource], outcome: str) -> None:
    t790m = ((w.HGVS, "NP_005219.2:p.Thr790Met"),)
    opposite = {"met": "not-met", "not-met": "met", "unknown": "unknown"}
    finding = one(needs(*t790m), facts(*record))
    assert finding.outcome == outcome
    assert one(needs(*t790m, exclude=True), facts(*record)).outcome == opposite[outcome]
    assert bool(finding.action) == (outcome == "unknown")
    assert outcome == "unknown" or finding.evidence


def test_a_group_over_two_genes_is_absent_only_when_both_were_studied() -> None:
    k27m = needs((f"{w.OWN}/CodeSystem/variant-group", "h3-k27m"))
    assert one(k27m, facts(w.region("r", "H3-3A"))).outcome == "unknown"
    assert one(k27m, facts(w.region("r", "H3-3A"), w.region("q", "H3C2"))).outcome == "not-met"


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ([], "unknown"),
        ([w.tmb("t", 10)], "met"),
        ([w.tmb("t", 9.99)], "not-met"),
        ([w.tmb("t", 10, unit="%")], "unknown"),
        ([w.tmb("t", 30, date="2024-01-01"), w.tmb("u", 3, date="2025-01-01")], "not-met"),
        ([w.tmb("u", 3, date="2025-01-01"), w.tmb("t", 30, date="2024-01-01")], "not-met"),
        ([w.tmb("t", 30), w.tmb("u", 3, date="2026-05-01", status="entered-in-error")], "met"),
        ([w.tmb("t", 30, status="preliminary")], "unknown"),
        (
            [w.observation("t", "94076-7", valueQuantity={"value": 5, "comparator": ">", "code": "1/1000000{Base}"})],
            "unknown",
        ),
        (
            [w.observation("t", "94076-7", valueQuantity={"value": 10, "comparator": "<", "code": "1/1000000{Base}"})],
            "not-met",
        ),
    ],
)
def test_tumour_mutational_burden(record: list[w.Resource], outcome: str) -> None:
    trait = w.trait("c", "94076-7", valueQuantity={"value": 10, "comparator": ">=", **w.MEGABASE})
    assert one(trait, facts(*record)).outcome == outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("LA26203-2", "met"),
        ("LA14122-8", "not-met"),
        ("LA26202-4", "not-met"),
        ("LA11884-6", "unknown"),
        (None, "unknown"),
    ],
)
def test_microsatellite_status(answer: str | None, outcome: str) -> None:
    trait = w.trait("c", "81695-9", valueCodeableConcept=w.concept((w.LOINC, "LA26203-2")))
    assert one(trait, facts(*([w.msi("m", answer)] if answer else []))).outcome == outcome


def test_ecog_by_the_latest_result() -> None:
    trait = w.trait("c", "89247-1", valueRange={"low": {"value": 0}, "high": {"value": 1}})
    assert one(trait, facts()).outcome == "unknown"
    assert one(trait, facts(w.ecog("a", 3, date="2025-01-01"), w.ecog("b", 1, date="2026-01-01"))).outcome == "met"
    assert one(trait, facts(w.ecog("a", 3, date="2026-03"), w.ecog("b", 1, date="2026-01-01"))).outcome == "not-met"
    coded = w.observation("e", "89247-1", valueCodeableConcept=w.concept((w.LOINC, "LA9624-3")))
    assert one(trait, facts(coded)).outcome == "not-met"
    at_most_two = w.trait("c", "89247-1", valueQuantity={"value": 2, "comparator": "<="})
    assert one(at_most_two, facts(coded)).outcome == "met"


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ([], "unknown"),
        ([w.statement("m", w.OSIMERTINIB)], "met"),
        ([w.statement("m", w.OSIMERTINIB, status="stopped")], "met"),
        ([w.statement("m", w.OSIMERTINIB, status="not-taken")], "not-met"),
        ([w.statement("m", w.OSIMERTINIB, status="intended")], "unknown"),
        ([w.statement("m", w.OSIMERTINIB, status="unknown")], "unknown"),
        ([w.statement("m", w.OSIMERTINIB, status="entered-in-error")], "unknown"),
        ([w.statement("m", w.OSIMERTINIB, status="not-taken"), w.statement("n", w.OSIMERTINIB)], "met"),
        ([w.statement("m", (w.RXNORM, "282388"))], "unknown"),  # imatinib says nothing of osimertinib
        ([{**w.statement("m", (w.RXNORM, "1")), "medicationCodeableConcept": {"text": "osimertinib"}}], "unknown"),
    ],
)
def test_prior_medication_by_code(record: list[w.Resource], outcome: str) -> None:
    trait = w.trait("c", "10160-0", valueCodeableConcept=w.concept(w.OSIMERTINIB))
    assert one(trait, facts(*record)).outcome == outcome


@pytest.mark.parametrize(
    ("status", "intent", "outcome"),
    [
        ("completed", "order", "met"),
        ("cancelled", "order", "unknown"),
        ("active", "plan", "unknown"),
        ("draft", "order", "unknown"),
    ],
)
def test_prescriptions_count_unless_cancelled_or_only_planned(status: str, intent: str, outcome: str) -> None:
    request = {**w.statement("m", w.OSIMERTINIB, status=status), "resourceType": "MedicationRequest", "intent": intent}
    trait = w.trait("c", "10160-0", valueCodeableConcept=w.concept(w.OSIMERTINIB))
    assert one(trait, facts(request)).outcome == outcome


def test_a_contained_medication_is_read() -> None:
    request = {
        "resourceType": "MedicationAdministration",
        "id": "a",
        "status": "completed",
        "contained": [{"resourceType": "Medication", "id": "m", "code": w.concept(w.OSIMERTINIB)}],
        "medicationReference": {"reference": "#m"},
        "subject": w.about("p"),
    }
    trait = w.trait("c", "10160-0", valueCodeableConcept=w.concept(w.OSIMERTINIB))
    assert one(trait, facts(request)).outcome == "met"


def test_worked_example_names_every_criterion_with_its_evidence() -> None:
    study = read(*w.worked_example())
    assert not study.problems
    assert [leaf.id for leaf in leaves(study.alternatives[0].root)] == [
        "c1",
        "c2",
        "c3a",
        "c3b",
        "c4",
        "c5",
        "c6a",
        "c6b",
        "c7",
    ]
    outcome, (result,) = evaluate_study(study, facts(*w.fitting_record()), TERMS, NOW)
    assert outcome == "met"
    by_id = {judged.node.id: judged for judged in result.criteria}
    assert by_id["c3a"].finding.outcome == "not-met"  # the gene was studied and no deletion reported
    assert by_id["c3b"].finding.evidence == ("Observation/p-var/_history/2",)
    assert by_id["c6b"].finding.outcome == "unknown"
    assert not any(judged.open for judged in result.criteria)  # what is unknown here cannot change the outcome


def test_worked_example_without_ecog_asks_for_it_alone() -> None:
    study = read(*w.worked_example())
    record = [resource for resource in w.fitting_record() if resource["id"] != "p-ecog"]
    outcome, (result,) = evaluate_study(study, facts(*record), TERMS, NOW)
    assert outcome == "unknown"
    assert [(judged.node.id, judged.finding.action) for judged in result.criteria if judged.open] == [
        ("c5", "Record ECOG performance status")
    ]


@pytest.mark.parametrize(
    "worse",
    [
        w.condition("p-dx", (w.ONCOTREE, "SCLC")),
        w.ecog("p-ecog", 2),
        w.tmb("p-tmb", 3),
        w.statement("p-osi", w.OSIMERTINIB),
    ],
)
def test_worked_example_fails_on_any_criterion(worse: w.Resource) -> None:
    study = read(*w.worked_example())
    record = [worse if resource["id"] == worse["id"] else resource for resource in w.fitting_record()]
    record.append(w.msi("p-msi", "LA14122-8"))
    assert evaluate_study(study, facts(*record), TERMS, NOW)[0] == "not-met"
