"""Published VCFs and what vcf2fhir made of them: the same findings, and each difference for a reason.

Of elimuinformatics/vcf2fhir, whose shapes are those of STU2. Where we differ, and why:

- A genotype that was not called (`./.`, `.|.`) is no finding. They report it as present.
- SPDI is told as 81252-9 (variation code) and HGVS as 81290-9 where it is sure. They put SPDI under 48004-6, which is
  for HGVS of coding DNA.
- A region of a BED file ends with its last base. They end it one base later: BED counts to the base after the last.
- No diagnostic implication "not specified" is made: it says nothing.
- A position behind the last base of the chromosome (60018 of 16,569 on the mitochondrion) is left out and told.
- Assembly, chromosome and categories are told as well.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from fhir_server.genomics.vcf.convert import Wish, convert, read_bed
from tests.genomics.vcf_test import converted, said

CODES = ("48013-7", "48002-0", "69547-8", "69551-0", "92822-6", "81254-5")
EXAMPLES: dict[int, Any] = {
    1: {"assembly": "GRCh37", "not called": {26, 27}},
    3: {"assembly": "", "not called": set()},
    4: {"assembly": "GRCh38", "not called": set()},
}


def expected(shared: Path, number: int) -> list[dict[str, Any]]:
    name = "expected_example1_with_patient.json" if number == 1 else f"expected_example{number}.json"
    found: list[dict[str, Any]] = json.loads((shared / "data/vcf" / name).read_text())["contained"]
    return found


def told(variants: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """What each variant says, by position."""
    found = {}
    for one in variants:
        if one["code"]["coding"][0]["code"] == "69548-6":
            facts = {code: said(one, code) for code in CODES}
            found[facts["81254-5"][0][0]] = {**facts, "present": one["valueCodeableConcept"]["coding"][0]["code"]}
    return found


@pytest.mark.parametrize("number", EXAMPLES)
def test_variants_as_published(shared: Path, number: int) -> None:
    content = (shared / f"data/vcf/vcf_example{number}.vcf").read_bytes()
    if number == 3:  # its header says GRCh37; the expected file was made as if it were on GRCh38
        content = content.replace(b"assembly=B37", b"").replace(b"NCBI build 37", b"").replace(b"build37", b"")
        lines = [line for line in content.splitlines() if not line.startswith(b"##contig")]
        content = b"\n".join(lines)
    made, _ = converted(content, assembly=EXAMPLES[number]["assembly"] or "GRCh38", source="somatic")
    published = told(expected(shared, number))
    ours = told(made)
    uncalled = EXAMPLES[number]["not called"]
    assert uncalled <= published.keys()
    for position, facts in published.items():
        beyond = facts["48013-7"] == ["NC_012920.1"] and position > 16569
        assert not (beyond and position in ours)
        if position not in uncalled and not beyond:
            assert ours[position] == facts, position
    assert not uncalled & ours.keys()


@pytest.mark.parametrize("number", EXAMPLES)
def test_phase_as_published(shared: Path, number: int) -> None:
    """What is expected names no variants: their ids were left out. How often which relation is what can be compared."""
    content = (shared / f"data/vcf/vcf_example{number}.vcf").read_bytes()
    made, tally = converted(content, assembly=EXAMPLES[number]["assembly"], source="germline")

    def relations(resources: list[dict[str, Any]]) -> list[str]:
        return sorted(
            one["valueCodeableConcept"]["coding"][0]["code"]
            for one in resources
            if one["code"]["coding"][0]["code"] == "82120-7"
        )

    assert relations(made) == relations(expected(shared, number)) != []
    assert tally.phased == len(relations(made))


def test_regions_as_published_but_for_their_end(shared: Path) -> None:
    folder = shared / "data/vcf"
    for number in (3, 4):
        # Of the third example they were asked for a part only, which lies in what was studied.
        names = ("RegionsToConvert" if number == 3 else "RegionsStudied", "NoncallableRegions")
        beds = [io.BytesIO((folder / f"{name}_example{number}.bed").read_bytes()) for name in names]
        out = io.BytesIO()
        empty = b"##fileformat=VCFv4.1\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts\n"
        wish = Wish("Patient/p", assembly="GRCh38", studied=read_bed(beds[0]), uncallable=read_bed(beds[1]))
        convert(io.BytesIO(empty), wish, out)
        ours = [one for one in map(json.loads, out.getvalue().splitlines()) if "component" in one]
        ranges = {said(one, "48013-7")[0]: said(one, "51959-5") for one in ours}
        published = {said(one, "48013-7")[0]: said(one, "51959-5") for one in expected(shared, number)
                     if one["code"]["coding"][0]["code"] == "53041-0"}  # fmt: skip
        assert published
        for accession, listed in published.items():
            assert ranges[accession] == [(low, high - 1) for low, high in listed], accession


def test_a_whole_file_of_a_sequencer(shared: Path) -> None:
    made, tally = converted((shared / "data/vcf/vcf_example2.vcf").read_bytes(), assembly="GRCh37")
    assert tally.variants + tally.phased == len(made) - 1 > 50
    assert tally.malformed == []


def test_frequency_as_the_reference_implementation_of_the_operations_tells_it(shared: Path) -> None:
    """Its variants have the components that ours have, by the same codes and systems."""
    published: set[tuple[str, str]] = set()
    folder = shared / "data/genomics-operations/find_subject_variants"
    for path in sorted(folder.glob("*.json")):
        text = json.loads(path.read_text())
        for part in _observations(text):
            for one in part["component"]:
                coding = one.get("valueCodeableConcept", {}).get("coding", [{}])[0]
                published.add((one["code"]["coding"][0]["code"], coding.get("system", "")))
    record = "##fileformat=VCFv4.2\n##reference=GRCh37\n" + '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="">\n'
    record += "\t".join("#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT s".split()) + "\n"  # noqa: SIM905
    record += "\t".join("1 11233941 . A G . . . GT:AD 1/1:0,9".split())  # noqa: SIM905
    made, _ = converted(record.encode(), source="germline")
    ours = {
        (one["code"]["coding"][0]["code"], one.get("valueCodeableConcept", {}).get("coding", [{}])[0].get("system", ""))
        for one in made[1]["component"]
    }
    assert published - ours <= {
        ("92821-8", ""),  # how frequent an allele is in populations: no sample's file says that
        ("48018-6", "http://www.genenames.org"),  # genes, consequences: of an annotation, not of a call
        ("48019-4", "http://sequenceontology.org"),  # the kind of change: only of structural variants
    }


def _observations(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("resourceType") == "Observation" and "69548-6" in json.dumps(value.get("code")):
            yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from _observations(inner)
