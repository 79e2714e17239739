"""The kinds of criteria beyond the worked example: met, not met and unknown, and what each rests on."""

from typing import Any

import pytest

from tests.matching import world as w
from tests.matching.evaluate_test import diagnosis, facts, needs, one, read

KIND = f"{w.OWN}/CodeSystem/criterion-kind"
MAX_AGE, WASHOUT = (f"{w.OWN}/StructureDefinition/criterion-{name}" for name in ("max-age", "washout"))
POSITIVE, NEGATIVE = (w.SNOMED, "10828004"), (w.SNOMED, "260385009")
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
GROUPS = f"{w.OWN}/CodeSystem/variant-group"


def own(code: str, **value: Any) -> w.Resource:
    return {"id": "c", "code": w.concept((KIND, code)), "exclude": False, **value}


def within(trait: w.Resource, url: str, value: int, unit: str) -> w.Resource:
    duration = {"value": value, "system": "http://unitsofmeasure.org", "code": unit}
    return {**trait, "modifierExtension": [{"url": url, "valueDuration": duration}]}


def result(id: str, code: str, **value: Any) -> w.Resource:
    return w.observation(id, code, **value)


def stage(text: str, **more: Any) -> w.Resource:
    return result("stage", "21908-9", valueCodeableConcept={"text": text}, **more)


def needs_stage(text: str) -> w.Resource:
    return w.trait("c", "21908-9", valueCodeableConcept={"text": text})


@pytest.mark.parametrize(
    ("wanted", "record", "outcome"),
    [
        ("III", [stage("Stage IIIA")], "met"),
        ("IIIA", [stage("IIIA")], "met"),
        ("IIIA", [stage("AJCC Stage 3A")], "met"),
        ("IIIA", [stage("IIIB")], "not-met"),
        ("IIIA", [stage("III")], "unknown"),  # less exact than asked
        ("III", [stage("II")], "not-met"),
        ("III", [], "unknown"),
        ("III", [stage("something")], "unknown"),
        ("IV", [result("s", "21902-2", valueCodeableConcept=w.concept((w.SNOMED, "258228008")))], "met"),
        ("II", [stage("IV", date="2024-01-01"), {**stage("II", date="2025-01-01"), "id": "later"}], "met"),
        ("II", [stage("II", status="entered-in-error")], "unknown"),
        ("II", [stage("II", status="preliminary")], "unknown"),
        ("III", [w.condition("d", (w.ONCOTREE, "LUAD"), stage=[{"summary": {"text": "Stage IIIB"}}])], "met"),
    ],
)
def test_stage(wanted: str, record: list[w.Resource], outcome: str) -> None:
    assert one(needs_stage(wanted), facts(*record)).outcome == outcome


def spread(id: str, *codings: tuple[str, str], **more: Any) -> w.Resource:
    return w.condition(id, *codings, **more)


@pytest.mark.parametrize(
    ("code", "record", "outcome"),
    [
        ("metastatic", [], "unknown"),
        ("metastatic", [stage("IV")], "met"),
        ("metastatic", [stage("IIIA")], "not-met"),
        ("metastatic", [spread("m", (ICD, "C78.7"))], "met"),
        ("metastatic", [spread("m", (w.SNOMED, "128462008"))], "met"),
        ("metastatic", [result("m", "21907-1", valueCodeableConcept={"text": "cM0"})], "not-met"),
        ("metastatic", [result("m", "21901-4", valueCodeableConcept={"text": "pM1b"})], "met"),
        ("brain-metastases", [], "unknown"),
        ("brain-metastases", [stage("IV")], "unknown"),
        ("brain-metastases", [spread("m", (ICD, "C79.31"))], "met"),
        ("brain-metastases", [spread("m", (w.SNOMED, "94225005"))], "met"),
        ("brain-metastases", [spread("m", (ICD, "C78.7"))], "unknown"),
        ("brain-metastases", [spread("m", (ICD, "C79.31"), verificationStatus=w.verified("refuted"))], "not-met"),
        ("brain-metastases", [spread("m", (ICD, "C79.31"), verificationStatus=w.verified("provisional"))], "unknown"),
        ("brain-metastases", [stage("II")], "not-met"),
    ],
)
def test_spread(code: str, record: list[w.Resource], outcome: str) -> None:
    assert one(own(code, valueBoolean=True), facts(*record)).outcome == outcome


def test_a_spread_is_no_other_primary_and_a_ruled_out_diagnosis_is_absent() -> None:
    nsclc = diagnosis((w.ONCOTREE, "NSCLC"))
    assert one(nsclc, facts(spread("m", (w.SNOMED, "94225005")))).outcome == "unknown"
    lung = w.condition("d", (w.ONCOTREE, "LUNG"), verificationStatus=w.verified("refuted"))
    finding = one(nsclc, facts(lung))
    assert (finding.outcome, finding.evidence) == ("not-met", ("Condition/d/_history/2",))
    exact = w.condition("d", (w.ONCOTREE, "LUAD"), verificationStatus=w.verified("refuted"))
    assert one(nsclc, facts(exact)).outcome == "unknown"  # another kind of it may be there


def test_what_patients_report_alone_leaves_it_unknown() -> None:
    nsclc = diagnosis((w.ONCOTREE, "NSCLC"))
    for said in ({"asserter": w.about("p")}, {"meta": {"security": [{"code": "PATRPT"}]}}):
        assert one(nsclc, facts(w.condition("d", (w.ONCOTREE, "LUAD"), **said))).outcome == "unknown"


def test_histology_says_more_exactly_what_it_is() -> None:
    url = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-histology-morphology-behavior"
    histology = {"url": url, "valueCodeableConcept": w.concept((w.ONCOTREE, "LUAD"))}
    record = w.condition("d", (w.SNOMED, "363358000"), extension=[histology])
    assert one(diagnosis((w.ONCOTREE, "NSCLC")), facts(record)).outcome == "met"


@pytest.mark.parametrize(
    ("gender", "outcome"), [("female", "met"), ("male", "not-met"), ("other", "unknown"), (None, "unknown")]
)
def test_sex(gender: str | None, outcome: str) -> None:
    female = w.trait(
        "c", "46098-0", valueCodeableConcept=w.concept(("http://hl7.org/fhir/administrative-gender", "female"))
    )
    patient = w.patient(**({"gender": gender} if gender else {}))
    assert one(female, facts(patient=patient)).outcome == outcome


@pytest.mark.parametrize(
    ("place", "address", "outcome"),
    [
        ("US", {"country": "US"}, "met"),
        ("US", {"country": "us", "state": "MD"}, "met"),
        ("US", {"country": "DE"}, "not-met"),
        ("US", {"city": "Ulm"}, "unknown"),
        ("US", {"country": "US", "use": "old"}, "unknown"),
        ("US-MD", {"country": "US", "state": "MD"}, "met"),
        ("US-MD", {"country": "US", "state": "VA"}, "not-met"),
        ("US-MD", {"country": "US"}, "unknown"),
        ("US-MD", {"country": "DE"}, "not-met"),
    ],
)
def test_place(place: str, address: dict[str, str], outcome: str) -> None:
    system = "urn:iso:std:iso:3166:-2" if "-" in place else "urn:iso:std:iso:3166"
    trait = own("location", valueCodeableConcept=w.concept((system, place)))
    assert one(trait, facts(patient=w.patient(address=[address]))).outcome == outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"valueCodeableConcept": w.concept(POSITIVE)}, "met"),
        ({"valueCodeableConcept": w.concept((w.LOINC, "LA6576-8"))}, "met"),
        ({"valueCodeableConcept": w.concept(NEGATIVE)}, "not-met"),
        ({"valueCodeableConcept": w.concept((w.LOINC, "LA11884-6"))}, "unknown"),
        ({"valueCodeableConcept": {"text": "Positive"}}, "met"),
        ({"valueString": "negative"}, "not-met"),
        ({"valueString": "see report"}, "unknown"),
    ],
)
def test_markers(answer: w.Resource, outcome: str) -> None:
    trait = w.trait("c", "16112-5", valueCodeableConcept=w.concept(POSITIVE))
    assert one(trait, facts(result("er", "16112-5", **answer))).outcome == outcome
    assert one(trait, facts()).outcome == "unknown"


def haemoglobin(value: float, unit: str, **more: Any) -> w.Resource:
    return result("hb", "718-7", valueQuantity={"value": value, "code": unit}, **more)


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ([haemoglobin(9, "g/dL")], "met"),
        ([haemoglobin(90, "g/L")], "met"),
        ([haemoglobin(8.99, "g/dL")], "not-met"),
        ([haemoglobin(5.6, "mmol/L")], "unknown"),  # takes the molar mass
        ([haemoglobin(9, "")], "unknown"),
        ([], "unknown"),
        ([result("hb", "718-7", valueString="fine")], "unknown"),
        ([w.observation("p", "58410-2", component=[{"code": w.concept((w.LOINC, "718-7")),
          "valueQuantity": {"value": 10, "code": "g/dL"}}])], "met"),
    ],
)  # fmt: skip
def test_laboratory_results_in_any_unit(record: list[w.Resource], outcome: str) -> None:
    trait = w.trait("c", "718-7", valueQuantity={"value": 9, "comparator": ">=", "code": "g/dL"})
    assert one(trait, facts(*record)).outcome == outcome


@pytest.mark.parametrize(
    ("date", "outcome"),
    [
        ("2026-05-20", "met"),
        ("2026-05-04", "met"),  # 28 days before
        ("2026-05-03", "unknown"),
        ("2026-05", "unknown"),  # perhaps too old
        ("2026", "unknown"),
        ("2026-06", "met"),
    ],
)
def test_evidence_ages_only_where_a_criterion_says_so(date: str, outcome: str) -> None:
    ecog = w.trait("c", "89247-1", valueRange={"low": {"value": 0}, "high": {"value": 1}})
    known = facts(w.ecog("e", 1, date=date))
    assert one(ecog, known).outcome == "met"
    finding = one(within(ecog, MAX_AGE, 28, "d"), known)
    assert finding.outcome == outcome
    assert finding.evidence
    assert ("within the last 28 days" in finding.text) == (outcome == "unknown")


def test_ages_of_evidence_in_months_end_with_the_month() -> None:
    ecog = within(w.trait("c", "89247-1", valueQuantity={"value": 1, "comparator": "<="}), MAX_AGE, 3, "mo")
    assert one(ecog, facts(w.ecog("e", 1, date="2026-03-01"))).outcome == "met"
    assert one(ecog, facts(w.ecog("e", 1, date="2026-02-28"))).outcome == "unknown"


def taken(status: str = "completed", **more: Any) -> w.Resource:
    return {**w.statement("m", w.OSIMERTINIB, status=status), **more}


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ([taken(effectivePeriod={"end": "2026-05-20"})], "met"),
        ([taken(effectivePeriod={"end": "2026-05-04"})], "met"),
        ([taken(effectivePeriod={"end": "2026-05-03"})], "not-met"),
        ([taken(effectivePeriod={"end": "2026-05"})], "unknown"),
        ([taken()], "unknown"),
        ([taken("active")], "met"),
        ([taken(effectivePeriod={"end": "2025"}), {**taken("active"), "id": "again"}], "met"),
        ([taken("not-taken")], "not-met"),
        ([], "unknown"),
    ],
)
def test_washout(record: list[w.Resource], outcome: str) -> None:
    trait = within(w.trait("c", "10160-0", valueCodeableConcept=w.concept(w.OSIMERTINIB)), WASHOUT, 28, "d")
    assert one(trait, facts(*record)).outcome == outcome


def test_a_class_of_drugs_and_a_procedure_are_prior_therapies() -> None:
    classes = f"{w.OWN}/CodeSystem/drug-class"
    inhibitor = w.trait("c", "10160-0", valueCodeableConcept=w.concept((classes, "egfr-inhibitor")))
    assert one(inhibitor, facts(taken())).outcome == "met"
    assert one(inhibitor, facts(w.statement("m", (classes, "egfr-inhibitor"), status="not-taken"))).outcome == "not-met"
    osimertinib = w.trait("c", "10160-0", valueCodeableConcept=w.concept(w.OSIMERTINIB))
    assert one(osimertinib, facts(w.statement("m", (classes, "egfr-inhibitor")))).outcome == "unknown"  # which?
    never = facts(w.statement("m", (classes, "egfr-inhibitor"), status="not-taken"))
    assert one(osimertinib, never).outcome == "not-met"
    surgery = {"resourceType": "Procedure", "id": "s", "status": "completed", "subject": w.about("p"),
               "code": w.concept((w.SNOMED, "119746007"))}  # fmt: skip
    trait = w.trait("c", "47519-4", valueCodeableConcept=w.concept((w.SNOMED, "119746007")))
    assert one(trait, facts(surgery)).outcome == "met"
    assert one(trait, facts({**surgery, "status": "not-done"})).outcome == "not-met"
    assert one(trait, facts({**surgery, "status": "preparation"})).outcome == "unknown"


def test_lines_of_therapy_have_their_own_code() -> None:
    trait = own("lines-of-therapy", valueQuantity={"value": 2, "comparator": "<="})
    lines = {**w.observation("n", "x"), "code": w.concept((KIND, "lines-of-therapy")), "valueInteger": 3}
    assert one(trait, facts(lines)).outcome == "not-met"
    assert one(trait, facts({**lines, "valueInteger": 2})).outcome == "met"
    assert one(trait, facts(taken())).outcome == "unknown"  # medicines are not counted


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("available", "met"), ("unavailable", "not-met"), ("entered-in-error", "unknown"), (None, "unknown")],
)
def test_specimens(status: str | None, outcome: str) -> None:
    tissue = (w.SNOMED, "119376003")
    sample = {
        "resourceType": "Specimen",
        "id": "s",
        "status": status,
        "type": w.concept(tissue),
        "subject": w.about("p"),
    }
    trait = own("biospecimen", valueCodeableConcept=w.concept(tissue))
    assert one(trait, facts(*([sample] if status else []))).outcome == outcome


def test_pregnancy_does_not_apply_to_men() -> None:
    trait = w.trait("c", "82810-3", exclude=True, valueCodeableConcept=w.concept((w.SNOMED, "77386006")))
    male = one(trait, facts(patient=w.patient(gender="male")))
    assert (male.outcome, male.applies) == ("met", False)
    female = w.patient(gender="female")
    assert one(trait, facts(patient=female)).outcome == "unknown"
    for code, outcome in (("LA26683-5", "met"), ("LA15173-0", "not-met"), ("LA26684-3", "unknown")):
        answer = result("preg", "82810-3", valueCodeableConcept=w.concept((w.LOINC, code)))
        assert one(trait, facts(answer, patient=female)).outcome == outcome


SO = "http://www.sequenceontology.org"


def reported(gene: str, *parts: w.Resource, change: str | None = None) -> w.Resource:
    found = w.variant("v", gene, change)
    return {**found, "component": [*found["component"], *parts]}


def number(code: str, value: float, unit: str = "1") -> w.Resource:
    return {"code": w.concept((w.LOINC, code)), "valueQuantity": {"value": value, "code": unit}}


EXON_19 = {"code": w.concept((w.LOINC, "47999-8")), "valueString": "exon 19"}
EXON_14 = {"code": w.concept((w.LOINC, "47999-8")), "valueString": "Exon 14"}


@pytest.mark.parametrize(
    ("group", "found", "outcome"),
    [
        ("alk-fusion", reported("HGNC:427", w.component("48019-4", (SO, "SO:0001565"))), "met"),
        ("alk-fusion", reported("HGNC:427", change="p.F1174L"), "unknown"),
        ("alk-fusion", reported("HGNC:427"), "unknown"),
        ("ntrk-fusion", reported("HGNC:8032", w.component("48019-4", (SO, "SO:0001565"))), "met"),
        ("erbb2-amplification", reported("HGNC:3430", number("82155-3", 8)), "met"),
        ("erbb2-amplification", reported("HGNC:3430", w.component("48019-4", (SO, "SO:0001742"))), "met"),
        ("erbb2-amplification", reported("HGNC:3430", number("82155-3", 2)), "unknown"),
        ("cdkn2a-deletion", reported("HGNC:1787", number("82155-3", 0)), "met"),
        ("met-exon-14-skipping", reported("HGNC:7029", EXON_14, w.component("48019-4", (SO, "SO:0001575"))), "met"),
        ("met-exon-14-skipping", reported("HGNC:7029", EXON_14), "unknown"),
        ("braf-oncogenic", reported("HGNC:1097", w.component("53037-8", (w.LOINC, "LA6668-3"))), "met"),
        ("braf-oncogenic", reported("HGNC:1097"), "unknown"),
        ("tp53-truncating", reported("HGNC:11998", change="p.R213*"), "met"),
        ("tp53-truncating", reported("HGNC:11998", change="p.R97Pfs*23"), "met"),
        ("brca-germline-pathogenic", reported("HGNC:1100", w.component("48002-0", (w.LOINC, "LA6683-2")),
                                              w.component("53037-8", (w.LOINC, "LA6668-3"))), "met"),
        ("brca-germline-pathogenic", reported("HGNC:1100", w.component("53037-8", (w.LOINC, "LA6668-3"))), "unknown"),
        ("egfr-exon-19-deletion", reported("HGNC:3236", EXON_19, change="p.L747P"), "unknown"),
    ],
)  # fmt: skip
def test_categorical_variants(group: str, found: w.Resource, outcome: str) -> None:
    assert one(needs((GROUPS, group)), facts(found)).outcome == outcome


@pytest.mark.parametrize(
    ("words", "group", "outcome"),
    [
        ("Exons 18-21", "egfr-exon-19-deletion", "not-met"),
        ("exon 18, 19 and 21", "egfr-exon-19-deletion", "not-met"),
        ("exons 20 to 21", "egfr-exon-19-deletion", "unknown"),
        ("hotspots only", "egfr-exon-19-deletion", "unknown"),
        ("all coding exons", "egfr-exon-19-deletion", "not-met"),
        ("Tumour panel of 43 genes", "egfr-exon-19-deletion", "not-met"),
    ],
)
def test_a_limit_in_words_is_read_or_proves_no_absence(words: str, group: str, outcome: str) -> None:
    limit = {"code": w.concept((w.LOINC, "81293-3")), "valueString": words}
    assert one(needs((GROUPS, group)), facts(w.region("r", "HGNC:3236", component=[limit]))).outcome == outcome


def test_older_reports_name_tests_in_words() -> None:
    trait = w.trait("c", "94076-7", valueQuantity={"value": 10, "comparator": ">=", **w.MEGABASE})
    burden = {**w.tmb("t", 12), "code": {"text": "Tumor Mutation Burden"}}
    assert one(trait, facts(burden)).outcome == "met"
    unstable = w.trait("c", "81695-9", valueCodeableConcept=w.concept((w.LOINC, "LA26203-2")))
    for said, outcome in (("MSI-High", "met"), ("Stable", "not-met"), ("pending", "unknown")):
        answer = {**result("m", "x"), "code": {"text": "MSI status"}, "valueString": said}
        assert one(unstable, facts(answer)).outcome == outcome


def test_race_ethnicity_and_language_are_no_facts() -> None:
    race = {"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race", "extension": [
        {"url": "ombCategory", "valueCoding": {"code": "2054-5"}}, {"url": "text", "valueString": "x"}]}  # fmt: skip
    ethnicity = {**race, "url": race["url"].replace("race", "ethnicity")}
    spoken = [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "es"}]}, "preferred": True}]
    told = w.patient(extension=[race, ethnicity], communication=spoken)
    assert facts(patient=told) == facts(patient=w.patient())


def test_names_of_systems_in_all_spellings() -> None:
    old = w.OWN.replace("participation.example", "example.org")
    slash = diagnosis(("http://oncotree.mskcc.org/", "NSCLC"))
    assert one(slash, facts(w.condition("d", (w.ONCOTREE, "LUAD")))).outcome == "met"
    assert (
        one(needs(("http://www.genenames.org/geneId", "EGFR")), facts(w.variant("v", "EGFR", "p.L858R"))).outcome
        == "met"
    )
    inner = w.group("in", slash, modifierExtension=[{"url": f"{old}/StructureDefinition/group-combination-method",
                                                     "valueCode": "any-of"}])  # fmt: skip
    kind = w.concept((f"{old}/CodeSystem/criterion-kind", "in-group"))
    outer = {**w.within("g", "#in"), "code": kind}
    study = read(w.study(), w.group("s-eligibility", outer, contained=[inner]))
    assert not study.problems
