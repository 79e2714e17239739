"""Subsumption within and across code systems, and the files that ship."""

from typing import Any

import pytest

from fhir_server.terminology.codes import Concept, Terminology, build, load, relation

ONCOTREE, SNOMED = "http://oncotree.mskcc.org", "http://snomed.info/sct"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
GROUP = "https://participation.example/fhir/CodeSystem/diagnosis-group"
SHIPPED = load()


def system(*concepts: dict[str, Any], url: str = "urn:a", **more: Any) -> dict[str, Any]:
    return {"resourceType": "CodeSystem", "url": url, "hierarchyMeaning": "is-a", "concept": list(concepts), **more}


def under(code: str, *parents: str) -> dict[str, Any]:
    return {"code": code, "property": [{"code": "parent", "valueCode": parent} for parent in parents]}


def mapping(source: tuple[str, str], target: tuple[str, str], equivalence: str) -> dict[str, Any]:
    element = {"code": source[1], "target": [{"code": target[1], "equivalence": equivalence}]}
    return {"resourceType": "ConceptMap", "group": [{"source": source[0], "target": target[0], "element": [element]}]}


NESTED = system({"code": "a", "concept": [{"code": "b", "concept": [{"code": "c"}]}, {"code": "d"}]})
FLAT = system(under("a"), under("b", "a"), under("c", "b"), under("d", "a"))


@pytest.mark.parametrize("resource", [NESTED, FLAT])
def test_nested_and_flat_hierarchies_mean_the_same(resource: dict[str, Any]) -> None:
    terms = build([resource])
    assert terms.subsumes("urn:a", "a", "c") is True
    assert terms.subsumes("urn:a", "c", "c") is True
    assert terms.subsumes("urn:a", "c", "a") is False
    assert terms.subsumes("urn:a", "b", "d") is False
    assert terms.subsumes("urn:a", "b", "unheard-of") is None
    assert terms.subsumes("urn:other", "a", "c") is None
    assert terms.ancestors("urn:a", "c") == {"a", "b"}
    assert terms.descendants("urn:a", "a") == {"b", "c", "d"}


def test_a_concept_with_two_parents_has_both_lines_above_it() -> None:
    terms = build([system(under("top"), under("l", "top"), under("r", "top"), under("x", "l", "r"))])
    assert terms.ancestors("urn:a", "x") == {"l", "r", "top"}


def test_a_cycle_is_refused() -> None:
    with pytest.raises(ValueError, match="above itself"):
        build([system(under("a", "b"), under("b", "a"))])


def test_another_resource_is_refused() -> None:
    with pytest.raises(ValueError, match="Patient"):
        build([{"resourceType": "Patient"}])


def test_equivalence_is_symmetric_and_transitive() -> None:
    maps = [mapping(("urn:b", "1"), ("urn:a", "c"), "equivalent"), mapping(("urn:z", "9"), ("urn:b", "1"), "equal")]
    terms = build([NESTED, *maps])
    assert terms.equivalents("urn:z", "9") == {Concept("urn:z", "9"), Concept("urn:b", "1"), Concept("urn:a", "c")}
    assert relation(terms, Concept("urn:z", "9"), Concept("urn:a", "b")) == "is"
    assert relation(terms, Concept("urn:a", "c"), Concept("urn:z", "9")) == "is"


@pytest.mark.parametrize(
    ("have", "want", "answer"),
    [
        ((ONCOTREE, "LUAD"), (ONCOTREE, "NSCLC"), "is"),
        ((ONCOTREE, "LUNG"), (ONCOTREE, "NSCLC"), "broader"),
        ((ONCOTREE, "IDC"), (ONCOTREE, "NSCLC"), "other"),
        ((ONCOTREE, "NOT-LOADED"), (ONCOTREE, "NSCLC"), None),
        ((SNOMED, "254637007"), (ONCOTREE, "NSCLC"), "is"),
        ((ONCOTREE, "LUAD"), (SNOMED, "254637007"), "is"),
        ((SNOMED, "363358000"), (ONCOTREE, "NSCLC"), "broader"),
        ((ONCOTREE, "IDC"), (SNOMED, "254837009"), "broader"),  # only mapped upwards: it may be
        ((SNOMED, "93796005"), (SNOMED, "254837009"), "broader"),  # two breast codes, SNOMED's hierarchy is not loaded
        ((SNOMED, "38341003"), (ONCOTREE, "NSCLC"), None),
        ((SNOMED, "393563007"), (ONCOTREE, "GB"), "broader"),  # glioblastoma without IDH status
        ((ICD, "C34.90"), (ICD, "C34"), "is"),
        ((ICD, "C34.90"), (ONCOTREE, "NSCLC"), "broader"),
        ((ICD, "C50.911"), (ONCOTREE, "NSCLC"), "other"),
        ((ICD, "C92.01"), (ONCOTREE, "AML"), "is"),
        ((ICD, "I10"), (ONCOTREE, "LUAD"), None),
        ((ONCOTREE, "AML"), (GROUP, "solid-tumour"), "other"),
        ((SNOMED, "432328008"), (GROUP, "solid-tumour"), "is"),
    ],
)
def test_relations_in_the_shipped_files(have: tuple[str, str], want: tuple[str, str], answer: str | None) -> None:
    assert relation(SHIPPED, Concept(*have), Concept(*want)) == answer


def test_every_shipped_mapping_and_parent_names_a_known_code() -> None:
    for concept, above in SHIPPED.above.items():
        for other in {*above, concept}:
            if other.system in SHIPPED.loaded:
                assert SHIPPED.known(*other), f"{concept} leads to {other}"


def test_an_empty_terminology_knows_only_identity() -> None:
    terms = Terminology()
    assert terms.subsumes("urn:a", "x", "x") is True
    assert terms.subsumes("urn:a", "x", "y") is None
    assert terms.closure(Concept("urn:a", "x")) == {Concept("urn:a", "x")}
