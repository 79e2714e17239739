"""The operations about one patient, over HTTP on both stores. docs/operations/find.md"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.settings import Settings
from tests.client import BASE, Client, refusal
from tests.genomics import world as w

CHR7 = "NC_000007.14"
SEQUENCE = "GGGACACACATTTTGCATGCATG"
ON_1 = "NC_000001.11"
REPORT = "DiagnosticReport"
WORLD: list[w.Resource] = [
    w.patient("ann"),
    w.patient("bob"),
    {"resourceType": "Specimen", "id": "tumour", "identifier": [{"system": "urn:bank", "value": "S-1"}],
     "subject": {"reference": "Patient/ann"}},
    w.simple("snv", "ann", f"{CHR7}:55191821:T:G", effectiveDateTime="2024-05-06",
             specimen={"reference": "Specimen/tumour"}),
    w.simple("padded", "ann", f"{CHR7}:55174770:AGGAATTA:A", source=w.GERMLINE, effectiveDateTime="2020-01-01"),
    w.simple("counted-from-1", "ann", f"{CHR7}:140753335:A:T", zero=False),
    w.variant("hgvs", "ann", w.coded("81290-9", w.HGVS, f"{CHR7}:g.55200000_55200001insAC")),
    w.variant("transcript", "ann", w.coded("48004-6", w.HGVS, "NM_005228.5:c.2573T>G")),
    w.variant("chromosome", "ann", w.component("48000-4", valueCodeableConcept={"text": "chr9"}),
              w.coded("62374-4", w.LOINC, "LA26806-2", "GRCh38"), w.component("69547-8", valueString="C"),
              w.component("69551-0", valueString="T"), w.ends("81254-5", 101, 101)),
    w.simple("old", "ann", "NC_000012.11:25398283:C:T"),
    w.simple("absent", "ann", f"{CHR7}:55191821:T:C", present=w.ABSENT),
    w.simple("wrong", "ann", f"{CHR7}:55191900:T:C", status="entered-in-error"),
    w.simple("raw", "ann", f"{CHR7}:55191900:T:C", source=w.GERMLINE, **w.RAW),
    w.observation("raw-type", "ann", "84413-4", valueCodeableConcept=w.concept("urn:star", "CYP2C19 *9/*9"), **w.RAW),
    w.simple("early", "ann", "NC_000020.11:400:T:C", status="preliminary"),
    w.simple("other", "bob", f"{CHR7}:55191830:T:G"),
    w.simple("repeat", "ann", f"{ON_1}:3::AC"),
    w.structural("loss", "ann", "NC_000013.11", w.ends("81302-2", 1000, 2000), w.ends("81301-4", 900, 2100)),
    w.structural("gain", "ann", "NC_000013.11", w.ends("81302-2", 5000, 6000)),
    w.variant("copies", "ann", w.coded("48013-7", w.REFSEQ, "NC_000014.9"), w.ends("81254-5", 101, 120),
              w.component("82155-3", valueQuantity={"value": 5})),
    w.observation("cis", "ann", "82120-7", valueCodeableConcept=w.concept("urn:phase", "Cis"),
                  derivedFrom=[{"reference": f"Observation/{id}"} for id in ("snv", "padded")]),
    w.observation("trans", "ann", "82120-7", valueCodeableConcept=w.concept("urn:phase", "Trans"),
                  derivedFrom=[{"reference": f"Observation/{id}"} for id in ("snv", "old")]),
    w.observation("type", "ann", "84413-4", w.coded("48018-6", "http://www.genenames.org", "HGNC:2621", "CYP2C19"),
                  valueCodeableConcept=w.concept("https://www.pharmvar.org", "CYP2C19 *1/*17")),
    w.observation("hla", "ann", "84414-2", w.coded("48018-6", "http://www.genenames.org", "HGNC:4931", "HLA-A"),
                  valueCodeableConcept=w.concept("http://www.ebi.ac.uk/ipd/imgt/hla", "A*02:06", "HLA-A*02:06")),
    w.observation("drug", "ann", "therapeutic-implication",
                  w.coded("51963-7", "urn:rx", "1", "Osimertinib"), w.coded("81259-4", "urn:dx", "9", "Lung cancer"),
                  system=w.TBD, derivedFrom=[{"reference": "Observation/snv"}]),
    w.observation("slow", "ann", "therapeutic-implication", w.coded("51963-7", "urn:rx", "2", "Clopidogrel"),
                  system=w.TBD, derivedFrom=[{"reference": "Observation/type"}]),
    w.observation("cause", "ann", "diagnostic-implication", w.coded("81259-4", "urn:dx", "8", "Syndrome"),
                  system=w.TBD, derivedFrom=[{"reference": "Observation/padded"}]),
    w.observation("missense", "ann", "molecular-consequence",
                  w.coded("feature-consequence", "http://www.sequenceontology.org", "SO:0001583", "missense_variant"),
                  w.coded("48004-6", w.HGVS, "NM_004333.6:c.1799T>A"),
                  system=w.TBD, derivedFrom=[{"reference": "Observation/counted-from-1"}]),
    {"resourceType": REPORT, "id": "report", "identifier": [{"system": "urn:lab", "value": "T-1"}], "status": "final",
     "code": w.concept(w.LOINC, "51969-4"), "subject": {"reference": "Patient/ann"}, "effectiveDateTime": "2021-02-03",
     "specimen": [{"reference": "Specimen/tumour"}],
     "result": [{"reference": f"Observation/{id}"} for id in ("counted-from-1", "drug", "group")]},
    w.observation("group", "ann", "Grouper", system=w.TBD,
                  hasMember=[{"reference": f"Observation/{id}"} for id in ("hgvs", "region")]),
    w.observation("region", "ann", "53041-0", w.coded("48013-7", w.REFSEQ, CHR7), w.ends("51959-5", 101, 200),
                  w.ends("51959-5", 201, 300), w.ends("51959-5", 1001, 1100), w.ends("uncallable-regions", 151, 160),
                  w.coded("92822-6", w.LOINC, "LA30102-0")),
]  # fmt: skip


@pytest.fixture
def lab(store_url: str, tmp_path: Path) -> Iterator[Client]:
    genome = tmp_path / "genome.fa"
    genome.write_text(f">{ON_1}\n{SEQUENCE}\n")
    (tmp_path / "genome.fa.fai").write_text(
        f"{ON_1}\t{len(SEQUENCE)}\t{len(ON_1) + 2}\t{len(SEQUENCE)}\t{len(SEQUENCE) + 1}\n"
    )
    chain = w.chain_file(tmp_path, ("12", 25_000_000, 26_000_000, -152_934))
    opened = Client(Settings(store=store_url, base_url=BASE, auth="open", access_log=False, match=False,
                             genome=str(genome), chain=chain))  # fmt: skip
    w.fill(opened, *WORLD)
    yield opened
    opened.close()


def told(client: Client, path: str) -> list[dict[str, Any]]:
    """For each parameter its parts by name: values, and lists of the ids of resources."""
    answer = client("GET", path)
    assert answer.status_code == 200, (path, answer.text)
    read = answer.json()
    assert read["resourceType"] == "Parameters"
    return [_parts(one["part"]) for one in read.get("parameter", [])]


def _parts(parts: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        if "resource" in part:
            found.setdefault(part["name"], []).append(part["resource"]["id"])
        else:
            found[part["name"]] = next(value for key, value in part.items() if key.startswith("value"))
    return found


def implied(client: Client, path: str) -> list[tuple[str, str]]:
    answer = client("GET", path)
    assert answer.status_code == 200, answer.text
    return [(one["name"], one["resource"]["id"]) for one in answer.json().get("parameter", [])]


def test_the_operations_about_a_patient(lab: Client) -> None:
    simple_variants_in_regions(lab)
    what_is_asked_of_tests(lab)
    given_variants(lab)
    structural_variants(lab)
    haplotypes(lab)
    implications(lab)
    metadata_of_tests(lab)
    genomic_studies(lab)
    what_is_refused(lab)
    parameters_in_a_body(lab)


def simple_variants_in_regions(lab: Client) -> None:
    def found(region: str, more: str = "") -> set[str]:
        (one,) = told(lab, f"$find-subject-variants?subject=ann&ranges={region}&includeVariants=true{more}")
        assert one["rangeItem"] == region
        assert one["presence"] == ("variant" in one)
        return set(one.get("variant", []))

    assert found(f"{CHR7}:55000000-55300000") == {"snv", "padded", "hgvs"}
    assert found(f"{CHR7}:55191821-55191822") == {"snv"}
    assert found(f"{CHR7}:55191900-55191901") == set(), "neither void nor read in raw data"
    assert found("NC_000020.11:400-401") == {"early"}, "what a laboratory has not finished"
    assert found(f"{CHR7}:55191822-55191999") == set(), "the end of a variant is not part of it"
    assert found(f"{CHR7}:55191800-55191821") == set(), "the end of a region is not part of it"
    assert found(f"{CHR7}:55191821-55191821") == {"snv"}
    assert found(f"{CHR7}:55174777-55174900") == {"padded"}
    assert found(f"{CHR7}:55174778-55174900") == set()
    assert found(f"{CHR7}:140753335-140753336") == {"counted-from-1"}
    assert found("NC_000009.12:100-101") == {"chromosome"}
    assert found("NC_000012.11:25398283-25398284") == {"old"}
    assert found("NC_000012.12:25245349-25245350") == {"old"}, "described on the other assembly"
    assert found(f"{CHR7}:55000000-55300000", "&includePhasing=true") == {"snv", "padded", "hgvs"}
    (one,) = told(
        lab, f"$find-subject-variants?subject=Patient/ann&includePhasing=true&ranges={CHR7}:55000000-55300000"
    )
    assert one["sequencePhaseRelationship"] == ["cis"], "both variants of a relation must be shown"
    (one,) = told(lab, f"Observation/$find-subject-variants?subject=ann&ranges={CHR7}:55000000-55300000")
    assert set(one) == {"rangeItem", "presence"}
    both = told(lab, f"Patient/$find-subject-variants?subject=bob&ranges={CHR7}:1-2, {CHR7}:55191830-55191831 ")
    assert [(one["rangeItem"], one["presence"]) for one in both] == [
        (f"{CHR7}:1-2", False), (f"{CHR7}:55191830-55191831", True)]  # fmt: skip


def what_is_asked_of_tests(lab: Client) -> None:
    def found(more: str) -> set[str]:
        (one,) = told(lab, f"$find-subject-variants?subject=ann&includeVariants=true&ranges={CHR7}:1-150000000&{more}")
        return set(one.get("variant", []))

    assert found("genomicSourceClass=germline") == {"padded"}
    assert found("genomicSourceClass=Somatic") == {"snv", "counted-from-1"}
    assert found("genomicSourceClass=http://loinc.org|LA6683-2") == {"padded"}
    assert found("specimenIdentifiers=S-1") == found("specimenIdentifiers=urn:bank|S-1") == {"snv"}
    assert found("specimenIdentifiers=urn:other|S-1") == found("specimenIdentifiers=S-2") == set()
    assert found("testIdentifiers=T-1") == found("testIdentifiers=x,urn:lab|T-1") == {"counted-from-1", "hgvs"}
    assert found("testIdentifiers=report") == {"counted-from-1", "hgvs"}
    assert found("testDateRange=ge2024-01-01") == {"snv"}
    assert found("testDateRange=ge2020-01-01&testDateRange=lt2021-01-01") == {"padded"}
    assert found("testDateRange=2021-02") == {"counted-from-1", "hgvs"}, "of the report, where the variant has no date"


def given_variants(lab: Client) -> None:
    def found(text: str) -> list[str]:
        (one,) = told(lab, f"$find-subject-specific-variants?subject=ann&variants={text}")
        assert one["variantItem"] == text
        assert one["presence"] == ("variant" in one)
        return list(one.get("variant", []))

    for text in (f"{CHR7}:55191821:T:G", f"{CHR7}:g.55191822T>G", f"{CHR7}:55191820:CT:CG", f"{CHR7}:55191821:1:G"):
        assert found(text) == ["snv"], text
    assert found(f"{CHR7}:55191821:T:C") == [], "what is said to be absent is not present"
    assert found(f"{CHR7}:55191900:T:C") == [], "nor is what was an error"
    for text in (f"{CHR7}:55174771:GGAATTA:", f"{CHR7}:g.55174772_55174778del", f"{CHR7}:55174770:AGGAATTA:A"):
        assert found(text) == ["padded"], text
    assert found(f"{CHR7}:55200000::AC") == ["hgvs"]
    assert found("NM_005228.5:c.2573T>G") == found("NM_005228.5(EGFR):c.2573T>G") == ["transcript"]
    assert found("NM_004333.6:c.1799T>A") == ["counted-from-1"], "spelled so by its molecular consequence"
    assert found("NC_000009.12:g.101C>T") == ["chromosome"]
    assert found("NC_000012.12:25245349:C:T") == ["old"]
    for text in (f"{ON_1}:3::AC", f"{ON_1}:g.8_9dup", f"{ON_1}:9::AC", f"{ON_1}:g.4_5insCA", f"{ON_1}:7:AC:ACAC"):
        assert found(text) == ["repeat"], "wherever in the repeat it is put"
    assert found(f"{ON_1}:g.6A>T") == []
    several = told(lab, f"$find-subject-specific-variants?subject=ann&variants={CHR7}:5:A:T,{CHR7}:55191821:T:G")
    assert [one["presence"] for one in several] == [False, True]


def structural_variants(lab: Client) -> None:
    def found(kind: str, region: str) -> set[str]:
        path = f"$find-subject-structural-{kind}-variants?subject=ann&ranges={region}&includeVariants=true"
        (one,) = told(lab, path)
        assert one["presence"] == ("variant" in one)
        return set(one.get("variant", []))

    assert found("intersecting", "NC_000013.11:2050-2060") == {"loss"}, "it may reach so far"
    assert found("intersecting", "NC_000013.11:1500-5500") == {"loss", "gain"}
    assert found("intersecting", "NC_000013.11:2100-5000") == set()
    assert found("subsuming", "NC_000013.11:1000-2000") == {"loss"}
    assert found("subsuming", "NC_000013.11:950-1500") == set(), "it is not sure to reach so far"
    assert found("subsuming", "NC_000013.11:5000-5001") == {"gain"}
    assert found("intersecting", "NC_000014.9:100-101") == found("subsuming", "NC_000014.9:100-120") == {"copies"}
    assert found("subsuming", "NC_000014.9:100-121") == set()
    assert found("intersecting", f"{CHR7}:1-150000000") == set(), "short variants are no structural ones"
    (one,) = told(lab, "$find-subject-variants?subject=ann&ranges=NC_000013.11:1-9000")
    assert not one["presence"]


def haplotypes(lab: Client) -> None:
    path = "$find-subject-haplotypes?subject=ann&genes="
    (one,) = told(lab, f"{path}http://www.genenames.org/geneId|HGNC:2621")
    assert one == {"geneItem": "HGNC:2621", "genotype": ["type"]}
    assert told(lab, f"{path}cyp2c19,HLA-A,HGNC:1") == [
        {"geneItem": "cyp2c19", "genotype": ["type"]},
        {"geneItem": "HLA-A", "haplotype": ["hla"]},
        {"geneItem": "HGNC:1"},
    ]
    path = "$find-subject-specific-haplotypes?subject=ann&haplotypes="
    assert told(lab, f"{path}CYP2C19 *1/*17,hla-a*02,https://www.pharmvar.org|CYP2C19 *1/*17,urn:x|A*02:06") == [
        {"haplotypeItem": "CYP2C19 *1/*17", "presence": True, "genotype": ["type"]},
        {"haplotypeItem": "hla-a*02", "presence": True, "haplotype": ["hla"]},
        {"haplotypeItem": "CYP2C19 *1/*17", "presence": True, "genotype": ["type"]},
        {"haplotypeItem": "A*02:06", "presence": False},
    ]


def implications(lab: Client) -> None:
    path = "$find-subject-tx-implications?subject=ann"
    drug, slow = [("implication", "drug"), ("variant", "snv")], [("implication", "slow"), ("genotype", "type")]
    assert implied(lab, path) == [*drug, *slow]
    for more in (
        f"variants={CHR7}:55191821:T:G", "treatments=urn:rx|1", "treatments=osimert", "conditions=urn:dx|9",
        "conditions=lung", f"ranges={CHR7}:55191821-55191822", "treatments=urn:rx|1,urn:rx|3&conditions=urn:dx|9",
        "specimenIdentifiers=S-1", "genomicSourceClass=somatic", "testIdentifiers=T-1",
    ):  # fmt: skip
        assert implied(lab, f"{path}&{more}") == drug, more
    assert implied(lab, f"{path}&haplotypes=CYP2C19 *1") == slow
    for more in (
        "treatments=urn:rx|2&conditions=urn:dx|9",
        "genomicSourceClass=germline",
        "variants=" + f"{CHR7}:1:A:T",
    ):
        assert implied(lab, f"{path}&{more}") == [], more
    path = "$find-subject-dx-implications?subject=ann"
    for more in ("", "&conditions=urn:dx|8", "&conditions=syndrome", f"&ranges={CHR7}:55174000-55175000"):
        assert implied(lab, path + more) == [("implication", "cause"), ("variant", "padded")]
    path = "$find-subject-molecular-consequences?subject=ann"
    consequence = [("consequence", "missense"), ("variant", "counted-from-1")]
    for more in ("", "&featureConsequences=http://www.sequenceontology.org|SO:0001583",
                 "&featureConsequences=missense", f"&variants={CHR7}:140753335:A:T"):  # fmt: skip
        assert implied(lab, path + more) == consequence, more
    assert implied(lab, f"{path}&featureConsequences=http://www.sequenceontology.org|SO:0001589") == []


def metadata_of_tests(lab: Client) -> None:
    (one,) = told(lab, f"$find-study-metadata?subject=ann&ranges={CHR7}:150-1050")
    assert one == {
        "testId": "T-1",
        "testDate": "2021-02-03",
        "specimenId": "S-1",
        "genomicBuild": {"coding": [{"system": w.LOINC, "code": "LA26806-2", "display": "GRCh38"}]},
        "regionStudied": f"{CHR7}:150-300,{CHR7}:1000-1050",
        "uncallableRegions": f"{CHR7}:150-160",
    }
    (one,) = told(lab, "$find-study-metadata?subject=ann&ranges=NC_000001.11:1-9")
    assert (one["regionStudied"], one["uncallableRegions"]) == ("none", "none")
    for more in ("", "&testIdentifiers=T-1", "&specimenIdentifiers=S-1", "&testDateRange=2021"):
        (one,) = told(lab, f"$find-study-metadata?subject=ann{more}")
        assert set(one) == {"testId", "testDate", "specimenId", "genomicBuild"}
    for more in ("&testIdentifiers=T-2", "&specimenIdentifiers=x", "&testDateRange=gt2021"):
        assert told(lab, f"$find-study-metadata?subject=ann{more}") == []


def genomic_studies(lab: Client) -> None:
    """STU3's GenomicStudy and its analysis, with a report and without."""
    guide = "http://hl7.org/fhir/uv/genomics-reporting/StructureDefinition/"
    analysis = {
        "resourceType": "Procedure", "id": "analysis", "status": "completed", "subject": {"reference": "Patient/bob"},
        "meta": {"profile": [guide + "genomic-study-analysis"]},
        "extension": [
            {"url": guide + "genomic-study-analysis-genome-build",
             "valueCodeableConcept": w.concept(w.LOINC, "LA14029-5", "GRCh37")},
            {"url": guide + "genomic-study-analysis-change-type",
             "valueCodeableConcept": w.concept("http://www.sequenceontology.org", "SO:0001483", "SNV")},
            {"url": guide + "genomic-study-analysis-specimen", "valueReference": {"reference": "Specimen/blood"}},
        ],
    }  # fmt: skip
    study = {
        "resourceType": "Procedure", "id": "study", "status": "completed", "subject": {"reference": "Patient/bob"},
        "meta": {"profile": [guide + "genomic-study"]}, "identifier": [{"value": "G-1"}],
        "performedDateTime": "2022-05-05",
        "extension": [{"url": guide + "genomic-study-analysis-ext",
                       "valueReference": {"reference": "Procedure/analysis"}}],
    }  # fmt: skip
    blood = {"resourceType": "Specimen", "id": "blood", "identifier": [{"value": "B-1"}],
             "subject": {"reference": "Patient/bob"}}  # fmt: skip
    w.fill(lab, blood, analysis, study)
    expected = {
        "testId": "G-1",
        "testDate": "2022-05-05",
        "specimenId": "B-1",
        "genomicBuild": w.concept(w.LOINC, "LA14029-5", "GRCh37"),
        "dnaChangeType": w.concept("http://www.sequenceontology.org", "SO:0001483", "SNV"),
    }
    unknown = {"regionStudied": "unknown", "uncallableRegions": "unknown"}
    path = "$find-study-metadata?subject=bob"
    assert told(lab, path) == told(lab, f"{path}&specimenIdentifiers=B-1&testIdentifiers=G-1") == [expected]
    assert told(lab, f"{path}&ranges={CHR7}:1-9") == [{**expected, **unknown}]
    assert told(lab, f"{path}&specimenIdentifiers=B-2") == told(lab, f"{path}&testIdentifiers=G-2") == []
    report = {
        "resourceType": REPORT, "id": "bobs", "status": "final", "code": w.concept(w.LOINC, "51969-4"),
        "subject": {"reference": "Patient/bob"}, "issued": "2022-06-06T00:00:00Z",
        "extension": [{"url": guide + "genomic-study-reference", "valueReference": {"reference": "Procedure/study"}}],
    }  # fmt: skip
    w.fill(lab, report)
    assert told(lab, path) == [{**expected, "testId": "bobs", "testDate": "2022-06-06T00:00:00Z"}]


def what_is_refused(lab: Client) -> None:
    subject, region = "$find-subject-variants?subject=", f"{CHR7}:1-9"
    for path, status in {
        f"$find-subject-variants?ranges={region}": 400,
        f"{subject}ann": 400,
        f"{subject}nobody&ranges={region}": 404,
        f"{subject}Group/ann&ranges={region}": 400,
        f"{subject}ann&ranges=7:1-9": 400,
        f"{subject}ann&ranges=NC_000019.8:1-9": 400,
        f"{subject}ann&ranges={CHR7}:9-1": 400,
        f"{subject}ann&ranges={CHR7}": 400,
        f"{subject}ann&ranges={region}&genomicSourceClass=fetal": 400,
        f"{subject}ann&ranges={region}&testDateRange=soon": 400,
        f"{subject}ann&ranges={region}&genes=x": 400,
        f"{subject}ann&ranges=" + ",".join(f"{CHR7}:{n}-{n}" for n in range(201)): 400,
        "$find-subject-specific-variants?subject=ann&variants=BRAF V600E": 400,
        "$find-subject-specific-variants?subject=ann&variants=NC_000007:g.5A>T": 400,
        f"$find-subject-specific-variants?subject=ann&variants={ON_1}:3:T:G": 400,
        f"$find-subject-specific-variants?subject=ann&variants={CHR7}:g.5dup": 422,
        "$find-subject-specific-variants?subject=ann&variants=NC_000013.10:5:A:T": 200,
        "$find-subject-structural-intersecting-variants?subject=ann&ranges=NC_000013.10:5-6": 422,
        f"$find-subject-tx-implications?subject=ann&ranges={region}&variants={CHR7}:5:A:T": 400,
        "$find-subject-haplotypes?subject=ann": 400,
        "$find-subject-specific-haplotypes?subject=ann": 400,
        "$find-study-metadata": 400,
        "$find-population-specific-variants": 400,
    }.items():
        answer = lab("GET", path)
        assert answer.status_code == status, (path, answer.text)
        if status != 200:
            refusal(answer)
    assert lab("GET", f"Specimen/$find-subject-variants?subject=ann&ranges={region}").status_code == 404


def parameters_in_a_body(lab: Client) -> None:
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "subject", "valueReference": {"reference": "Patient/ann"}},
            {"name": "ranges", "valueString": f"{CHR7}:55000000-55300000"},
            {"name": "ranges", "valueString": "NC_000009.12:100-101"},
            {"name": "testDateRange", "valuePeriod": {"start": "2020-01-01", "end": "2020-12-31"}},
            {"name": "includeVariants", "valueBoolean": True},
        ],
    }
    answer = lab("POST", "$find-subject-variants", body).json()
    assert [_parts(one["part"]) for one in answer["parameter"]] == [
        {"rangeItem": f"{CHR7}:55000000-55300000", "presence": True, "variant": ["padded"]},
        {"rangeItem": "NC_000009.12:100-101", "presence": False},
    ]
    body["parameter"] = [{"name": "subject", "valueString": "ann"}, {"name": "testDateRange", "valuePeriod": {}}]
    assert lab("POST", "$find-study-metadata", body).status_code == 400
