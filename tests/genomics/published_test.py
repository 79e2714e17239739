"""The published answers of the reference implementation, asked again of a server that holds what they show.

Its database is not published, only answers: what they show is loaded, and what they answer is asked, as its own tests
ask it. Where ours differs, and why, stands in DIFFERENT and at the end. https://github.com/FHIR/genomics-operations
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.settings import Settings
from tests.client import BASE, Client
from tests.conftest import SHARED
from tests.genomics.world import chain_file, fill, patient

FOLDER = SHARED / "data" / "genomics-operations"
MEDGEN, DISEASE = "https://www.ncbi.nlm.nih.gov/medgen|", "https://disease-ontology.org|"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm|"
BRAF = "NC_000007.14:140753335:A:T"
SPECIFIC = (
    "NC_000005.9:112154946:CC:C,NC_000005.9:112157612:C:T,NC_000017.10:41246373:G:,NC_000017.10:41243854:AAA:AAAA,"
    "NC_000013.10:32900284:C:A,NC_000019.9:11216262:C:A,NC_000014.8:23894101:A:T"
)
# What is asked for each answer.
ASKED = {
    "find_subject_variants/1": "subject=HG00403&ranges=NC_000019.10:11089431-11133820&includeVariants=true",
    "find_subject_variants/3": "subject=HG00403&includeVariants=true&ranges=NC_000019.10:11089431-11133820",
    "find_subject_variants/5": "subject=HG00403&ranges=NC_000001.10:69501-69520   ,   NC_000001.10:69501-69521  "
    "&includeVariants=true",
    "find_subject_specific_variants/1": "subject=m123&variants=NC_000005.9:g.112102032A>T",
    "find_subject_specific_variants/3": f"subject=HG00404&variants={SPECIFIC}",
    "find_subject_structural_intersecting_variants/1": "subject=HCC1143&ranges=NC_000007.14:55019016-55211628,"
    "NC_000004.12:54727415-54727542",
    "find_subject_structural_intersecting_variants/3": "subject=HCC1143&ranges=NC_000017.11:43044294-43125364,"
    "NC_000013.11:32315507-32400268&includeVariants=true",
    "find_subject_structural_subsuming_variants/1": "subject=HCC1143&ranges=NC_000007.14:116672195-116798386"
    "&includeVariants=true",
    "find_subject_structural_subsuming_variants/3": "subject=ABC789&ranges=NC_000022.10:42522500-42526812"
    "&includeVariants=true",
    "find_subject_haplotypes/1": "subject=NB6TK328&genes=http://www.genenames.org/geneId|HGNC:2625",
    "find_subject_haplotypes/3": "subject=NB6TK328&genes=http://www.genenames.org/geneId|HGNC:4932",
    "find_subject_specific_haplotypes/1": "subject=XYZ123&haplotypes=CYP2C19",
    "find_subject_specific_haplotypes/3": "subject=XYZ234&haplotypes=DRB1*13:02",
    "find_subject_tx_implications/1": f"subject=CA12345&variants={BRAF}&conditions={DISEASE}DOID:3908,"
    f"{DISEASE}DOID:1324,{DISEASE}DOID:3910",
    "find_subject_tx_implications/3": f"subject=CA12345&treatments={RXNORM}1147220",
    "find_subject_tx_implications/5": f"subject=CA12345&variants={BRAF}&conditions={DISEASE}DOID:3908",
    "find_subject_tx_implications/7": "subject=CA12345&ranges=NC_000001.11:20000000-40000000",
    "find_subject_dx_implications/1": "subject=huC30902&variants=NC_000001.10:161333381:C:T",
    "find_subject_dx_implications/3": f"subject=NB6TK329&conditions={MEDGEN}C0677776,{MEDGEN}C4552100,{MEDGEN}C0020445",
    "find_subject_dx_implications/5": "subject=HG00403&ranges=NC_000019.9:11200138-11244496,"
    "NC_000013.10:32889644-32974405,NC_000014.9:23412739-23435677",
    "find_subject_molecular_consequences/1": "subject=TCGA-DD-A1EH&variants=NC_000001.10:152785039:G:T",
    "find_subject_molecular_consequences/3": "subject=NA19240&variants=NC_000003.11:37050303:G:A"
    "&featureConsequences=http://sequenceontology.org|SO:0001589a",
}


# Answers that are not ours, or not to the very question, and why.
DIFFERENT = {
    "find_subject_specific_haplotypes/3": "DRB1*13:02 is one of the alleles that the code DRB1*13:AKBAR stands for, as "
    "a registry of such codes would have to tell",
    "find_subject_tx_implications/1": "asked as NM_001354609.2:c.1799T>A, which takes the alignment of the "
    "transcript: here the same variant is asked for on its chromosome",
    "find_subject_tx_implications/5": "as the one before",
    "find_subject_structural_intersecting_variants/1": "asked for one specimen, which the answers do not show",
    "find_subject_structural_subsuming_variants/1": "as the one before",
    "find_population_...": "counts of a database that is not published, and fewer than 11 of most",
    "find_study_metadata/...": "of the same; testId and testDate (a dateTime) are as the OperationDefinition has them",
}
NOT_OURS = {"find_subject_specific_haplotypes/3"}


def answers() -> list[str]:
    return sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("find_subject*/*.json"))


def published(name: str) -> dict[str, Any]:
    """An answer, in which ids that stand for observations of several people are made different."""
    read: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    for one in held(read.get("parameter", [])):
        of = one["subject"]["reference"].partition("/")[2]
        one["id"] += f"-{of}"
        for source in one.get("derivedFrom", ()):
            source["reference"] += f"-{of}"
    return read


def held(parameters: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in parameters:
        if "resource" in one:
            yield one["resource"]
        yield from held(one.get("part", []))


def shape(answer: dict[str, Any]) -> list[Any]:
    """What an answer says, in an order of its own: names, values, and the ids of resources, each once."""

    def said(part: dict[str, Any]) -> Any:
        if "part" in part:
            return part["name"], sorted({said(one) for one in part["part"]}, key=repr)
        value = next((value for key, value in part.items() if key.startswith("value")), None)
        return part["name"], part["resource"]["id"] if "resource" in part else str(value)

    read = [said(one) for one in answer.get("parameter", [])]
    return sorted((one for number, one in enumerate(read) if one not in read[:number]), key=repr)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    if not FOLDER.exists():
        pytest.skip("the published answers are not here")
    folder: Path = tmp_path_factory.mktemp("published")
    chain = chain_file(
        folder,
        ("1", 1_000_000, 50_000_000, 0),
        ("4", 55_593_000, 55_594_000, -866_166),
        ("7", 55_000_000, 56_000_000, -67_693),
        ("7", 116_000_000, 117_000_000, 359_946),
        ("13", 32_000_000, 33_000_000, -574_137),
        ("14", 23_000_000, 24_000_000, -469_209),
        ("17", 41_000_000, 42_000_000, 1_847_983),
        ("19", 11_000_000, 12_000_000, -110_676),
    )
    opened = Client(
        Settings(store=f"sqlite:///{folder / 'fhir.db'}", base_url=BASE, auth="open", access_log=False, match=False,
                 chain=chain)
    )  # fmt: skip
    found = {one["id"]: one for name in answers() for one in held(published(name).get("parameter", []))}
    people = {one["subject"]["reference"].partition("/")[2] for one in found.values()}
    asked = {text.partition("subject=")[2].partition("&")[0] for text in ASKED.values()}
    fill(opened, *(patient(id) for id in sorted(people | asked)), *found.values())
    yield opened
    opened.close()


@pytest.mark.parametrize("name", sorted(ASKED))
def test_the_answer_is_the_published_one(loaded: Client, name: str) -> None:
    operation = name.partition("/")[0].replace("_", "-")
    answer = loaded("GET", f"${operation}?{ASKED[name]}")
    assert answer.status_code == 200, answer.text
    assert (shape(answer.json()) == shape(published(name))) == (name not in NOT_OURS), DIFFERENT.get(name)


def test_what_a_converter_of_vcf_writes(loaded: Client) -> None:
    """vcf2fhir's example (STU2), which lacks ids and a time: each variant at its place, and what was studied."""
    path = SHARED / "data" / "vcf" / "expected_example3.json"
    if not path.exists():
        pytest.skip("the converted VCF is not here")
    report = json.loads(path.read_text())
    inside: dict[str, dict[str, Any]] = {}
    for number, one in enumerate(report.pop("contained")):
        one |= {"id": f"vcf-{number}", "subject": {"reference": "Patient/converted"}}
        if "derivedFrom" in one:  # an implication follows its variant
            one["derivedFrom"] = [{"reference": f"Observation/vcf-{number - 1}"}]
        inside[one["id"]] = one
    results = [{"reference": f"Observation/{id}"} for id in inside]
    whole = {
        **report,
        "issued": "2021-01-01T00:00:00Z",
        "id": "converted",
        "subject": {"reference": "Patient/converted"},
        "result": results,
    }
    fill(loaded, patient("converted"), *inside.values(), whole)
    spdis = [part["valueCodeableConcept"]["coding"][0]["code"] for one in inside.values()
             for part in one.get("component", ()) if part["code"]["coding"][0]["code"] == "48004-6"]  # fmt: skip
    assert len(spdis) == 5
    answer = loaded("GET", f"$find-subject-specific-variants?subject=converted&variants={','.join(spdis)}").json()
    assert [one["part"][1]["valueBoolean"] for one in answer["parameter"]] == [True] * 5
    region = "NC_000023.11:60000-60600"
    answer = loaded("GET", f"$find-subject-variants?subject=converted&includeVariants=true&ranges={region}").json()
    assert len(list(held(answer["parameter"]))) == 4
    (test,) = loaded("GET", f"$find-study-metadata?subject=converted&ranges={region}").json()["parameter"]
    said = {part["name"]: part.get("valueString") for part in test["part"]}
    assert said["regionStudied"] == region
    assert said["uncallableRegions"] == "NC_000023.11:60000-60501"
    implied = loaded("GET", f"$find-subject-dx-implications?subject=converted&variants={spdis[0]}").json()
    assert [one["name"] for one in implied["parameter"]] == ["implication", "variant"]


def test_every_published_answer_is_asked_for() -> None:
    assert not FOLDER.exists() or answers() == sorted(ASKED)
