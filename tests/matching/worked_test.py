"""The worked trial against patients made by hand: the overall outcome, and the criteria that decide it."""

from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.matching.evaluate import evaluate_study
from tests.matching import world as w
from tests.matching.evaluate_test import NOW, TERMS, facts, read

STUDY = read(*w.worked_example())
EGFR = "HGNC:3236"
Change = Callable[[dict[str, w.Resource]], None]


def without(*ids: str) -> Change:
    return lambda record: [record.pop(f"p-{id}") for id in ids] and None


def put(*resources: w.Resource) -> Change:
    return lambda record: record.update((one["id"], one) for one in resources)


def both(*changes: Change) -> Change:
    def change(record: dict[str, w.Resource]) -> None:
        for one in changes:
            one(record)

    return change


def born(birth: str | None) -> Change:
    return put(w.patient(birth=birth))


EXON_19 = w.variant("p-var", EGFR, "NP_005219.2:p.Glu746_Ala750del")
ABSENT = w.variant("p-res", EGFR, "p.T790M", "LA9634-2")
MISTAKE = w.condition("p-dx", (w.ONCOTREE, "LUAD"), verificationStatus=w.verified("entered-in-error"))
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
PEOPLE: list[tuple[str, Change, str, set[str]]] = [
    ("meets everything", put(), "met", set()),
    ("exon 19 deletion in place of L858R", put(EXON_19), "met", set()),
    ("SNOMED CT adenocarcinoma of lung", put(w.condition("p-dx", (w.SNOMED, "254626006"))), "met", set()),
    ("ICD-10 says lung only", put(w.condition("p-dx", (ICD, "C34.90"))), "unknown", {"c1"}),
    ("small cell", put(w.condition("p-dx", (w.ONCOTREE, "SCLC"))), "not-met", {"c1"}),
    ("breast", put(w.condition("p-dx", (w.ONCOTREE, "IDC"))), "not-met", {"c1"}),
    ("no diagnosis", without("dx"), "unknown", {"c1"}),
    ("diagnosis entered in error", put(MISTAKE), "unknown", {"c1"}),
    ("turns 18 today", born("2008-06-01"), "met", set()),
    ("turns 18 tomorrow", born("2008-06-02"), "not-met", {"c2"}),
    ("born some day of 2008", born("2008"), "unknown", {"c2"}),
    ("born on an unknown day", born(None), "unknown", {"c2"}),
    ("no variant, gene studied", without("var"), "not-met", {"c3"}),
    ("no variant, nothing studied", without("var", "region"), "unknown", {"c3", "c4"}),
    ("another variant of the gene", put(w.variant("p-var", EGFR, "p.L861Q")), "not-met", {"c3"}),
    ("KRAS only", put(w.variant("p-var", "HGNC:6407", "p.G12C")), "not-met", {"c3"}),
    ("L858R in words of one letter", put(w.variant("p-var", "EGFR", "p.L858R")), "met", set()),
    ("L858R absent", both(put(w.variant("p-var", EGFR, "p.L858R", "LA9634-2"))), "not-met", {"c3"}),
    ("T790M beside it", put(w.variant("p-res", EGFR, "p.Thr790Met")), "not-met", {"c4"}),
    ("T790M preliminary", put(w.variant("p-res", EGFR, "p.T790M", status="preliminary")), "unknown", {"c4"}),
    ("gene not studied beyond the finding", without("region"), "unknown", {"c4"}),
    ("T790M tested and absent", both(without("region"), put(ABSENT)), "met", set()),
    ("ECOG 2", put(w.ecog("p-ecog", 2)), "not-met", {"c5"}),
    ("ECOG was 2 and is 1", put(w.ecog("p-old", 2, date="2025-01-01")), "met", set()),
    ("no ECOG", without("ecog"), "unknown", {"c5"}),
    ("ECOG entered in error", put(w.ecog("p-ecog", 1, status="entered-in-error")), "unknown", {"c5"}),
    ("low burden, stable", put(w.tmb("p-tmb", 3), w.msi("p-msi", "LA14122-8")), "not-met", {"c6"}),
    ("low burden, MSI-H", put(w.tmb("p-tmb", 3), w.msi("p-msi", "LA26203-2")), "met", set()),
    ("low burden, MSI unknown", put(w.tmb("p-tmb", 3)), "unknown", {"c6"}),
    ("neither burden nor MSI", without("tmb"), "unknown", {"c6"}),
    ("had osimertinib", put(w.statement("p-osi", w.OSIMERTINIB)), "not-met", {"c7"}),
    ("nobody asked about osimertinib", without("osi"), "unknown", {"c7"}),
    ("nothing is known", without("dx", "var", "region", "ecog", "tmb", "osi"), "unknown",
     {"c1", "c3", "c4", "c5", "c6", "c7"}),
    ("a failure beside unknowns", both(without("ecog"), born("2015-01-01")), "not-met", {"c2", "c5"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "outcome", "deciding"), PEOPLE, ids=[one[0] for one in PEOPLE])
def test_a_patient(name: str, change: Change, outcome: str, deciding: set[str]) -> None:
    record: dict[str, Any] = {one["id"]: one for one in (w.patient(), *w.fitting_record())}
    change(record)
    patient = record.pop("p")
    found, (result,) = evaluate_study(STUDY, facts(*record.values(), patient=patient), TERMS, NOW)
    assert found == outcome
    assert {
        judged.node.id for judged in result.criteria if judged.depth == 0 and judged.finding.outcome != "met"
    } == deciding
    for judged in result.criteria:
        assert judged.finding.text
        assert not judged.open or judged.finding.action


def test_there_are_enough_of_them() -> None:
    assert len(PEOPLE) >= 25
