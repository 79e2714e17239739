"""The maps of diagnoses that ship: every code leads to a tumour that is there, once, and as its source says."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fhir_server.terminology.codes import Concept, load, relation

FOLDER = Path(__file__).parents[2] / "terminology"
ONCOTREE, SNOMED = "http://oncotree.mskcc.org", "http://snomed.info/sct"
ICD, NCIT = "http://hl7.org/fhir/sid/icd-10-cm", "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
TERMS = load()
MAPS = sorted(FOLDER.glob("ConceptMap-*-to-oncotree.json"))


def pairs() -> list[tuple[Concept, str, str]]:
    found = []
    for path in MAPS:
        for group in json.loads(path.read_text())["group"]:
            for element in group["element"]:
                (target,) = element["target"]
                found.append((Concept(group["source"], element["code"]), target["code"], target["equivalence"]))
    return found


def test_every_code_leads_to_one_tumour_that_is_there() -> None:
    found = pairs()
    assert not [code for code, count in Counter(concept for concept, _, _ in found).items() if count > 1]
    assert not [code for _, code, _ in found if not TERMS.known(ONCOTREE, code)]
    assert {how for _, _, how in found} == {"equivalent", "wider"}
    assert len(found) > 400


def test_every_code_of_the_fragment_hangs_on_a_tissue_of_one_group() -> None:
    groups = f"{TERMS.closure(Concept(ONCOTREE, 'LUAD'))}"
    assert "solid-tumour" in groups
    for code in TERMS.loaded[ONCOTREE]:
        above = {c.code for c in TERMS.closure(Concept(ONCOTREE, code)) if c.system.endswith("diagnosis-group")}
        assert len(above) == 1, code


def test_every_code_is_found_under_its_tumour() -> None:
    for concept, code, _ in pairs():
        assert relation(TERMS, concept, Concept(ONCOTREE, code)) == "is", concept


@pytest.mark.parametrize(
    ("have", "want", "expected"),
    [
        (Concept(ICD, "C83.15"), Concept(ONCOTREE, "MCL"), "is"),
        (Concept(ICD, "C83.15"), Concept(ONCOTREE, "HL"), "other"),
        (Concept(ICD, "C83.3"), Concept(ICD, "C83"), "is"),  # a category holds what is mapped by itself
        (Concept(ICD, "C83.30"), Concept(ICD, "C83"), "is"),
        (Concept(ICD, "C90.0"), Concept(ICD, "C90"), "is"),
        (Concept(ICD, "C83"), Concept(ICD, "C83.3"), "broader"),
        (Concept(ICD, "C83.3"), Concept(ICD, "C84"), "other"),
        (Concept(ICD, "C83.5"), Concept(ONCOTREE, "NHL"), "broader"),  # lymphoblastic: what it says of itself counts
        (Concept(ICD, "C92.10"), Concept(ONCOTREE, "CML"), "is"),
        (Concept(ICD, "C92.90"), Concept(ONCOTREE, "CML"), "broader"),  # unspecified: it may be any of them
        (Concept(ICD, "C92.90"), Concept(ONCOTREE, "AML"), "broader"),
        (Concept(ICD, "C92.90"), Concept(ICD, "C92.1"), "broader"),
        (Concept(ICD, "C92.1"), Concept(ICD, "C92.9"), "other"),
        (Concept(ICD, "C34.90"), Concept(ICD, "C34.1"), "broader"),
        (Concept(ICD, "C92.1"), Concept(ONCOTREE, "AML"), "other"),
        (Concept(ONCOTREE, "CML"), Concept(ICD, "C92.1"), "is"),
        (Concept(SNOMED, "92818009"), Concept(ICD, "C92.1"), "is"),
        (Concept(NCIT, "C3512"), Concept(ONCOTREE, "NSCLC"), "is"),
        (Concept(NCIT, "C3058"), Concept(ONCOTREE, "GB"), "broader"),  # which is IDH-wildtype
        (Concept(NCIT, "C3288"), Concept(ONCOTREE, "ODG"), "broader"),
        (Concept(NCIT, "C60781"), Concept(ONCOTREE, "ASTR"), "broader"),
        (Concept(NCIT, "C60781"), Concept(ONCOTREE, "GB"), "broader"),
        (Concept(NCIT, "C3058"), Concept(ONCOTREE, "BRAIN"), "is"),
    ],
)
def test_diagnoses_across_systems(have: Concept, want: Concept, expected: str) -> None:
    assert relation(TERMS, have, want) == expected


def test_the_map_of_nci_thesaurus_is_that_of_the_release(shared: Path) -> None:
    release = shared / "data" / "terminology" / "oncotree_2025_10_03.json"
    known: dict[str, list[str]] = {}

    def walk(node: dict[str, Any]) -> None:
        for reference in node.get("externalReferences", {}).get("NCI", ()):
            known.setdefault(reference, []).append(node["code"])
        for child in node["children"].values():
            walk(child)
            assert not TERMS.known(ONCOTREE, child["code"]) or (
                TERMS.display(Concept(ONCOTREE, child["code"])) == child["name"]
            )

    walk(json.loads(release.read_text())["TISSUE"])
    ours = [(one.code, code) for one, code, how in pairs() if one.system == NCIT and how == "equivalent"]
    assert len(ours) == 291
    assert [known[reference] for reference, _ in ours] == [[code] for _, code in ours]
