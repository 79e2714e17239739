"""What a VCF says, as FHIR: genotypes, frequencies, filters, structure, regions. https://samtools.github.io/hts-specs/VCFv4.3.pdf"""

import gzip
import io
import json
import tracemalloc
from typing import Any

import pytest

from fhir_server.fhir import codec
from fhir_server.fhir.definitions import load
from fhir_server.genomics.vcf.convert import Tally, Wish, convert, read_bed, read_genes
from fhir_server.genomics.vcf.coverage import Needs
from fhir_server.genomics.vcf.read import LENGTHS, NotVcf
from fhir_server.search.index import indexer
from fhir_server.validation.structure import validator

VALIDATE = validator(load())
INDEX = indexer(load(), "http://x/fhir")
DEPTHS = '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="a, b=c">'
Resource = dict[str, Any]


def vcf(*records: str, header: tuple[str, ...] = ("##reference=GRCh38",), samples: str = "s") -> bytes:
    """A file; the fields of a record are given with spaces in place of tabs."""
    columns = "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT " + samples
    return "\n".join(
        ["##fileformat=VCFv4.2", *header, *(one.replace(" ", "\t") for one in (columns, *records))]
    ).encode()


def converted(content: bytes, **more: Any) -> tuple[list[Resource], Tally]:
    out = io.BytesIO()
    tally = convert(io.BytesIO(content), Wish("Patient/p", **more), out)
    for line in out.getvalue().splitlines():
        VALIDATE({key: value for key, value in codec.decode(line).items() if key != "meta"})
    return [json.loads(line) for line in out.getvalue().splitlines()], tally


def found(*records: str, **more: Any) -> list[Resource]:
    """The variants in a file of these records."""
    header = more.pop("header", ("##reference=GRCh38", DEPTHS))
    made, _ = converted(vcf(*records, header=header, samples=more.pop("samples", "s")), **more)
    return [
        one for one in made if one["resourceType"] == "Observation" and one["code"]["coding"][0]["code"] == "69548-6"
    ]


def said(resource: Resource, code: str) -> list[Any]:
    """What the components with a code say: codes, strings, numbers, ranges."""
    told: list[Any] = []
    for one in resource["component"]:
        if one["code"]["coding"][0]["code"] == code:
            value = next(value for key, value in one.items() if key.startswith("value"))
            if isinstance(value, dict) and "coding" in value:
                value = value["coding"][0]["code"]
            elif isinstance(value, dict) and ("low" in value or "high" in value):
                value = tuple(value.get(end, {}).get("value") for end in ("low", "high"))
            elif isinstance(value, dict):
                value = value.get("value", value.get("text"))
            told.append(value)
    return told


def test_a_substitution_is_named_and_placed() -> None:
    (one,) = found("chr7 55191822 rs121434568;x T G 50 PASS . GT:AD 0/1:60,40")
    assert said(one, "48013-7") == ["NC_000007.14"]
    assert said(one, "62374-4") == ["LA26806-2"]
    assert said(one, "48000-4") == ["LA21260-7"]
    assert said(one, "81254-5") == [(55191822, None)]
    assert said(one, "69547-8") + said(one, "69551-0") == ["T", "G"]
    assert said(one, "81290-9") == ["NC_000007.14:g.55191822T>G"]
    assert said(one, "81252-9") == ["NC_000007.14:55191821:T:G", "rs121434568"]
    assert said(one, "92822-6") == ["LA30102-0"]
    assert said(one, "53034-5") == ["LA6706-1"]
    assert said(one, "81258-6") == [0.4]
    assert said(one, "82121-5") == [40]
    assert said(one, "48002-0") == [], "nothing is said of the source, so nothing is claimed"


@pytest.mark.parametrize(("allele", "name"), [
    ("T GA", []), ("TT T", []), ("TC GA", ["NC_000001.11:g.5_6delinsGA"]), ("TC TA", []), ("N A", []),
])  # fmt: skip
def test_hgvs_is_given_where_no_reference_is_needed(allele: str, name: list[str]) -> None:
    (one,) = found(f"1 5 . {allele} . . . GT 1/1")
    assert said(one, "81290-9") == name
    assert len(said(one, "81252-9")) == 1


@pytest.mark.parametrize(("chromosome", "genotype", "state"), [
    ("1", "0/1", "LA6706-1"), ("1", "1|0", "LA6706-1"), ("1", "1/1", "LA6705-3"), ("X", "1", "LA6707-9"),
    ("chrM", "1", "LA6704-6"), ("MT", "0/1", "LA6703-8"), ("1", "./1", None), ("1", "0/0/1", "LA6706-1"),
])  # fmt: skip
def test_zygosity(chromosome: str, genotype: str, state: str | None) -> None:
    (one,) = found(f"{chromosome} 100 . A C . . . GT {genotype}")
    assert said(one, "53034-5") == ([state] if state else [])


def test_each_allele_of_a_site_is_a_variant() -> None:
    first, second = found("2 100 . A C,G . . . GT:AD:AF 1/2:10,30,60:0.3,0.61")
    assert [said(one, "69551-0") for one in (first, second)] == [["C"], ["G"]]
    assert [said(one, "53034-5") for one in (first, second)] == [["LA6706-1"]] * 2
    assert [said(one, "81258-6") for one in (first, second)] == [[0.3], [0.61]], "the caller's own figure comes first"
    assert [said(one, "82121-5") for one in (first, second)] == [[30], [60]]


def test_depths_that_are_not_declared_are_not_believed() -> None:
    other = '##FORMAT=<ID=AD,Number=2,Type=Integer,Description="of each observed allele">'
    for header in (("##reference=hg38",), ("##reference=hg38", other)):
        (one,) = found("1 100 . A C . . . GT:AD 1|0:17,31", header=header)
        assert said(one, "81258-6") == said(one, "82121-5") == []


@pytest.mark.parametrize(("record", "source", "code"), [
    ("1 9 . A C . . SOMATIC GT 0/1", "", "LA6684-0"), ("1 9 . A C . . . GT:SS 0/1:2", "", "LA6684-0"),
    ("1 9 . A C . . SS=1 GT 0/1", "", "LA6683-2"), ("1 9 . A C . . . GT 0/1", "germline", "LA6683-2"),
    ("1 9 . A C . . . GT 0/1", "somatic", "LA6684-0"),
])  # fmt: skip
def test_germline_and_somatic(record: str, source: str, code: str) -> None:
    (one,) = found(record, source=source)
    assert said(one, "48002-0") == [code]
    assert bool(said(one, "53034-5")) == (code == "LA6683-2"), "a tumour has frequencies, not zygosity"


def test_what_is_left_out_is_counted() -> None:
    content = vcf(
        "1 1 . A C . lowq . GT 0/1", "1 2 . A C . PASS . GT:FT 0/1:bad", "1 3 . A C . . . GT ./.",
        "1 4 . A . . . . GT 0/0",
        "1 5 . A C . . . GT 0/0", "1 6 . A *,C . . . GT 1/2", "GL000 7 . A C . . . GT 0/1", "1 x . A C . . . GT 0/1",
        "1 8 . A <X:Y> . . . GT 0/1", "1 9 . A C", "1 999999999 . A C . . . GT 0/1", "1 10 . A C . . . GT 0/7", "",
    )  # fmt: skip
    made, tally = converted(content)
    assert [said(one, "81254-5") for one in made[1:]] == [[(6, None)]]
    assert dict(tally.left) == {
        "failed a filter of the caller": 2, "not called in this sample": 1, "reference in this sample": 2,
        "stands for any other allele": 1, "on a contig that is no chromosome of the assembly": 1,
        "no record of a VCF": 2,
        "a symbolic allele that is not understood": 1, "beyond the end of the chromosome": 1,
        "a genotype names an allele that is not there": 1,
    }  # fmt: skip
    assert [one.line for one in tally.malformed] == [11, 13]
    assert "2 failed a filter" in made[0]["conclusion"]
    assert len(converted(content, every_filter=True)[0]) == 4


@pytest.mark.parametrize(("record", "expected"), [
    ("1 100 . A <DEL> . . SVTYPE=DEL;END=500 GT 0/1", {"48019-4": "SO:0000159", "81254-5": (100, 500)}),
    ("1 100 . A <DUP:TANDEM> . . SVLEN=50 GT 0/1", {"48019-4": "SO:1000035", "81254-5": (100, 150)}),
    ("1 100 . A <INV> . . SVTYPE=INV;END=500;CIPOS=-10,20;CIEND=-5,6 GT 1/1",
     {"48019-4": "SO:1000036", "81301-4": (90, 506), "81302-2": (120, 495)}),
    ("1 100 . A <INS:ME:ALU> . . SVTYPE=INS GT 0/1", {"48019-4": "SO:0000667", "81254-5": (100, None)}),
    ("1 100 . A <CNV> . . SVTYPE=CNV;END=900 GT:CN ./.:3", {"48019-4": "SO:0001019", "82155-3": 3}),
    ("1 100 . ACGT A . . SVTYPE=DEL;SVLEN=-3 GT 0/1", {"81252-9": "NC_000001.11:99:ACGT:A", "81254-5": (100, 103)}),
    ("1 100 . A A[2:321682[ . . SVTYPE=BND GT 0/1", {"69551-0": "A[2:321682[", "48019-4": "breakend"}),
])  # fmt: skip
def test_structural_variants(record: str, expected: Resource) -> None:
    (one,) = found(record)
    assert {code: (said(one, code) or [None])[0] for code in expected} == expected


def test_which_sample() -> None:
    pair = "1 9 . A C . . . GT 0/0 0/1"
    header = ("##reference=GRCh38", "##tumor_sample=t")
    assert len(found(pair, header=header, samples="n t")) == 1
    assert found(pair, header=header, samples="n t", sample="n") == []
    for samples, more in (("n t", {}), ("n t", {"sample": "x"})):
        with pytest.raises(NotVcf, match="n, t"):
            found(pair, samples=samples, **more)


@pytest.mark.parametrize(("header", "stated", "told"), [
    (("##contig=<ID=chr1,length=249250621>",), "", "GRCh37"), (("##contig=<ID=22,length=50818468>",), "", "GRCh38"),
    (("##reference=file:///x/hs37d5.fa",), "", "GRCh37"), (("##contig=<ID=1,assembly=B37>",), "", "GRCh37"),
    (("##contig=<ID=chr1,length=248956422>", "##reference=hg19.fa"), "", "GRCh38"), ((), "GRCh37", "GRCh37"),
    ((), "", None), (("##reference=GRCh38",), "GRCh37", None),
    (("##contig=<ID=1,length=249250621>", "##contig=<ID=2,length=242193529>"), "", None),
])  # fmt: skip
def test_the_assembly_is_what_the_header_says(header: tuple[str, ...], stated: str, told: str | None) -> None:
    content = vcf("1 9 . A C . . . GT 0/1", header=header)
    if told is None:
        with pytest.raises(NotVcf, match="GRCh3"):
            converted(content, assembly=stated)
    else:
        assert converted(content, assembly=stated)[1].assembly == told


def test_lengths_of_the_two_assemblies_differ_everywhere() -> None:
    assert all(a != b for a, b in zip(*LENGTHS.values(), strict=True))


@pytest.mark.parametrize("content", [b"", b"hello", b"##fileformat=VCFv4.2\n", b"##fileformat=VCFv4.2\n1\t2\n",
                                     gzip.compress(vcf(), mtime=0)[:-20], vcf(samples="").rstrip()])  # fmt: skip
def test_what_is_no_vcf_is_told(content: bytes) -> None:
    with pytest.raises(NotVcf):
        converted(content, assembly="GRCh38")


def test_gzip_and_the_same_file_twice() -> None:
    content = vcf("1 9 . A C . . . GT 0/1", "1 9 . A G . . . GT 0/1")
    made, _ = converted(content, specimen="Specimen/s", order="ServiceRequest/o")
    again, _ = converted(gzip.compress(content, mtime=0), specimen="Specimen/s", order="ServiceRequest/o")
    assert made == again
    report, *variants = made
    assert report["basedOn"] == [{"reference": "ServiceRequest/o"}]
    assert [one["reference"] for one in report["result"]] == [f"Observation/{one['id']}" for one in variants]
    assert len({one["id"] for one in variants}) == 2
    assert {one["specimen"]["reference"] for one in variants} == {"Specimen/s"}
    other, _ = converted(content, specimen="Specimen/t")
    assert not {one["id"] for one in made} & {one["id"] for one in other}


def test_regions_count_from_one() -> None:
    regions = read_bed(io.BytesIO(b"track x\nchr7\t10\t20\n7\t30\t31\nchrUn\t1\t2\n"))
    made, _ = converted(vcf(), studied=regions, uncallable=read_bed(io.BytesIO(b"7 12 14")))
    (region,) = made[1:]
    assert region["code"]["coding"][0]["code"] == "53041-0"
    assert said(region, "51959-5") == [(11, 20), (31, 31)]
    assert said(region, "uncallable-regions") == [(13, 14)]
    assert made[0]["result"] == [{"reference": f"Observation/{region['id']}"}]
    with pytest.raises(NotVcf):
        read_bed(io.BytesIO(b"7 12"))


def test_many_variants_take_no_more_memory_and_a_report_of_few_names() -> None:
    class Counted(io.RawIOBase):
        """What is written and not kept."""

        size = 0

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.size += len(data)
            return len(data)

    def most(count: int) -> int:
        content = gzip.compress(vcf(*(f"1 {number + 1} . A C . . . GT 0/1" for number in range(count))))
        tracemalloc.start()
        tally = convert(io.BytesIO(content), Wish("Patient/p"), Counted())  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert tally.variants == count
        return peak

    few, many = most(1000), most(3000)
    assert many < few + 1_000_000, (few, many)
    out = io.BytesIO()
    content = vcf(*(f"1 {number + 1} . A C . . . GT 0/1" for number in range(2100)))
    tally = convert(io.BytesIO(content), Wish("Patient/p"), out)
    made = [json.loads(line) for line in out.getvalue().splitlines()]
    assert tally.resources == len(made) == 1 + 3 + 2100
    panels = [one for one in made if "hasMember" in one]
    assert [len(one["hasMember"]) for one in panels] == [1000, 1000, 100]
    assert made[0]["result"] == [{"reference": f"Observation/{one['id']}"} for one in panels]


def of_kind(made: list[Resource], code: str) -> list[Resource]:
    return [one for one in made if one["code"]["coding"][0]["code"] == code]


def test_variants_of_a_phase_set_lie_together_or_not() -> None:
    made, tally = converted(vcf(
        "1 10 . A C . . . GT:PS 0|1:10", "1 20 . A C . . . GT:PS 0|1:10", "1 30 . A C . . . GT:PS 1|0:30",
        "1 40 . A C . . . GT:PS 1|0:10", "1 50 . A C . . . GT:PS 1|1:10", "1 60 . A C . . . GT:PS 0/1:10",
        "1 70 . A C . . . GT 0|1", "1 80 . A C . . . GT:PS .|1:10", "1 90 . A C,G . . . GT:PS 2|1:90",
        "2 10 . A C . . . GT:PS 0|1:10", "1 95 . A C . low . GT:PS 0|1:10",
    ))  # fmt: skip
    places = {one["id"]: (said(one, "81254-5")[0][0], said(one, "69551-0")[0]) for one in of_kind(made, "69548-6")}
    told = [
        (one["valueCodeableConcept"]["coding"][0]["code"],
         [places[of["reference"].removeprefix("Observation/")] for of in one["derivedFrom"]])
        for one in of_kind(made, "82120-7")
    ]  # fmt: skip
    assert told == [
        ("Cis", [(10, "C"), (20, "C")]), ("Trans", [(20, "C"), (40, "C")]), ("Trans", [(90, "C"), (90, "G")]),
    ]  # fmt: skip
    assert tally.phased == 3
    assert {one["reference"] for one in made[0]["result"]} == {f"Observation/{one['id']}" for one in made[1:]}
    assert converted(vcf("1 1 . A C . . . GT 0/1"))[1].phased == 0
    twice = "1 10 . A C . . . GT:PS 0|1:10"
    assert converted(vcf(twice, twice))[1].phased == 0, "none lies to itself"


GVCF = (
    "1 1 . A <NON_REF> . . END=100 GT:DP:GQ:MIN_DP 0/0:30:60:25",
    "1 101 . A <NON_REF> . . END=150 GT:DP:GQ:MIN_DP 0/0:30:60:12",
    "1 151 . A <NON_REF> . . END=160 GT:DP:GQ:MIN_DP 0/0:30:60:9",
    "1 161 . A C,<NON_REF> . . . GT:DP:GQ 0/1:40:99",
    "1 162 . A <*> . . END=170 GT:DP:GQ 0/0:40:10",
    "1 171 . A <NON_REF> . . END=180 GT ./.",
    "1 191 . A . . . END=200;MinDP=20 GT:GQ 0/0:50",
    "2 5 . A <NON_REF> . . . GT:DP:GQ 0:11:21",
)


def test_blocks_of_a_gvcf_say_what_was_read() -> None:
    made, tally = converted(vcf(*GVCF))
    one, two = of_kind(made, "53041-0")
    assert said(one, "51959-5") == [(1, 150), (161, 161), (191, 200)]
    assert said(one, "uncallable-regions") == [(151, 160), (162, 180)]
    assert said(one, "48013-7") == ["NC_000001.11"]
    assert said(two, "51959-5") == [(5, 5)]
    assert (tally.variants, tally.regions, dict(tally.left)) == (1, 4, {})
    assert {one["reference"] for one in made[0]["result"]} == {f"Observation/{one['id']}" for one in made[1:]}


def test_how_well_a_block_was_read_is_asked() -> None:
    made, _ = converted(vcf(*GVCF), needs=Needs(9, 0))
    assert said(of_kind(made, "53041-0")[0], "51959-5") == [(1, 170), (191, 200)]
    made, _ = converted(vcf("1 1 . A <NON_REF> . LowGQX END=5 GT 0/0", "1 6 . A <*> . . END=9 GT 0/1"))
    assert said(of_kind(made, "53041-0")[0], "uncallable-regions") == [(1, 9)]


def test_what_was_to_be_studied_bounds_what_was() -> None:
    made, _ = converted(vcf(*GVCF), studied={"1": [(90, 110), (105, 155), (195, 300)]})
    (one,) = of_kind(made, "53041-0")
    assert said(one, "51959-5") == [(90, 150), (195, 200)]
    assert said(one, "uncallable-regions") == [(151, 155)]


def test_genes_are_studied_when_all_of_them_was_read() -> None:
    bed = b"1\t9\t20\tHGNC:1\nchr1\t29\t40\tHGNC:1\n1\t0\t150\tHGNC:2\n1\t140\t155\tHGNC:3\n3\t1\t2\tHGNC:4\n"
    made, tally = converted(vcf(*GVCF), genes=read_genes(io.BytesIO(bed)))
    named = [said(one, "48018-6") for one in of_kind(made, "53041-0")]
    assert [one for one in named if one] == [["HGNC:1", "HGNC:2"]]
    (told,) = [one for one in of_kind(made, "53041-0") if said(one, "48018-6")]
    assert said(told, "51959-5") == [(10, 20), (30, 40), (1, 150)], (
        "so that nobody takes all of its variants for absent"
    )
    assert tally.left["a gene that was not wholly read"] == 2
    with pytest.raises(NotVcf, match="Line 1"):
        read_genes(io.BytesIO(b"1\t9\t20\n"))


def block(low: int, high: int, depth: int = 30, chromosome: str = "1", format: str = "GT:DP") -> str:
    return f"{chromosome} {low} . A <NON_REF> . . END={high} {format} 0/0:{depth}"


def studied(*records: str, **more: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """What is told of regions in a gVCF: those studied, those that are not, and the genes."""
    made, _ = converted(vcf(*records, header=more.pop("header", ("##reference=hg38",)),
                            samples=more.pop("samples", "s")), **more)  # fmt: skip
    regions = of_kind(made, "53041-0")
    told = [[one for region in regions if code == "48018-6" or not said(region, "48018-6")
             for one in said(region, code)] for code in ("51959-5", "uncallable-regions", "48018-6")]  # fmt: skip
    return told[0], told[1], told[2]


def genes(*rows: str) -> Any:
    return read_genes(io.BytesIO("\n".join(row.replace(" ", "\t") for row in rows).encode()))


def test_bases_that_several_records_name_count_once() -> None:
    gene = genes("1 0 200 G")
    deletion = f"1 101 . {'A' * 20} A,<NON_REF> . . . GT:DP 0/1:30"
    spoilt = (block(1, 100), deletion, block(105, 105, 3), block(106, 150), block(151, 160, 3), block(161, 200))
    told = studied(*spoilt, genes=gene)
    assert told == ([(1, 104), (106, 150), (161, 200)], [(105, 105), (151, 160)], [])
    assert studied(block(1, 120), block(1, 120), block(161, 200), block(1, 80), genes=gene)[2] == []
    assert studied(block(1, 100), block(161, 200), block(1, 100), genes=gene)[2] == []
    assert studied(block(1, 200), block(1, 200), genes=gene)[2] == ["G"]
    assert studied(block(1, 100), deletion, block(105, 200), genes=gene)[2] == ["G"]
    assert studied(block(1, 200), block(300, 300), block(7, 7, 3), genes=gene)[2] == [], "told late"
    assert studied(block(1, 50, 3), block(40, 60)) == ([(51, 60)], [(1, 50)], [])


@pytest.mark.parametrize(("record", "read"), [
    ("1 5 . A C,<NON_REF> . . . GT 0/2", False), ("1 5 . A C,<*> . . . GT 1/2", False),
    ("1 5 . A C,<NON_REF> . . . GT 0/7", False), ("1 5 . A <DEL>,<NON_REF> . . SVTYPE=DEL GT 0/1", False),
    ("1 5 . A <X:Y>,<NON_REF> . . . GT 0/1", False), ("1 5 . A C,<NON_REF> . . . GT 0/1", True),
    ("1 5 . A *,C,<NON_REF> . . . GT 1/2", True), ("1 5 . A C,<NON_REF> . . . GT 0/0", True),
])  # fmt: skip
def test_a_base_with_an_allele_that_is_not_told_was_not_read(record: str, read: bool) -> None:
    told = studied(block(1, 4), record, block(6, 9), genes=genes("1 0 9 G"))
    assert told == (([(1, 9)], [], ["G"]) if read else ([(1, 4), (6, 9)], [(5, 5)], []))


def test_the_mitochondrion_of_hg19_is_none_of_ours() -> None:
    """Its variants are left out, so nothing of it was studied."""
    header = ("##contig=<ID=chrM,length=16571>", "##contig=<ID=chr1,length=249250621>")
    records = (block(1, 300, chromosome="chrM"), "chrM 301 . A C,<NON_REF> . . . GT 1/1", block(1, 9))
    mitochondrial = genes("MT 0 300 MT-ND1")
    assert studied(*records, header=header, genes=mitochondrial) == ([(1, 9)], [], [])
    assert studied(*records, header=header, studied={"MT": [(1, 20)]}) == ([], [], [])
    assert studied(header=header, studied={"MT": [(1, 20)], "1": [(1, 2)]}) == ([(1, 2)], [], [])
    right = ("##contig=<ID=chrM,length=16569>", *header[1:])
    assert studied(*records[:1], header=right, genes=mitochondrial) == ([(1, 300)], [], ["MT-ND1"])


def test_stated_uncallable_regions_are_cut_out_of_a_gvcf() -> None:
    told = studied(block(1, 100), genes=genes("1 0 20 G", "1 50 60 H"), uncallable={"1": [(15, 30), (1, 2), (2, 3)]})
    assert told == ([(4, 14), (31, 100)], [(15, 30), (1, 2), (2, 3)], ["H"])


def test_depth_of_the_site_is_that_of_an_only_sample() -> None:
    record = "1 1 . A <NON_REF> . . END=9;DP=60 GT 0/0"
    poor = "1 10 . A <NON_REF> . . END=19;DP=6 GT 0/0"
    assert studied(record, poor)[:2] == ([(1, 9)], [(10, 19)])
    both = [f"{one} 0/0" for one in (record, poor)]
    assert studied(*both, samples="s t", sample="s")[:2] == ([(1, 19)], []), "a sum says nothing of one of them"


def test_no_observation_names_more_than_its_index_can_hold() -> None:
    many = "\n".join(f"1\t{n * 10}\t{n * 10 + 5}\tHGNC:{n // 10}" for n in range(4500)).encode()
    huge = b"".join(b"\n1\t%d\t%d\tHGNC:7000" % (n, n + 1) for n in range(50_000, 52_500))
    regions = {"1": [(n * 10 + 1, n * 10 + 5) for n in range(2500)]}
    whole = vcf(block(1, 60_000))
    for made, places, names in (
        (of_kind(converted(whole, genes=read_genes(io.BytesIO(many + huge)))[0], "53041-0"), 1 + 7000, 451),
        (of_kind(converted(whole, studied=regions, uncallable={"2": regions["1"]})[0], "53041-0"), 2500, 0),
        (of_kind(converted(vcf(), studied=regions, uncallable=regions)[0], "53041-0"), 2500, 0),
    ):
        assert len({one["id"] for one in made}) == len(made)
        assert max(len(said(one, "51959-5") + said(one, "uncallable-regions")) for one in made) == 1000
        assert max(len(said(one, "48018-6")) for one in made) <= 200
        assert max(len(INDEX(one)) for one in made) < 2000, "beyond that MongoDB keeps the rest apart"
        told = [place for one in made for place in said(one, "51959-5")]
        assert len(told) == len(set(told)) == places
        assert len({gene for one in made for gene in said(one, "48018-6")}) == names
        assert all(said(one, "51959-5") for one in made if said(one, "48018-6")), "no gene without its limits"


def test_blocks_take_no_more_memory_the_more_there_are() -> None:
    def peak(number: int) -> int:
        good = (f"1 {n * 20 + 1} . A <NON_REF> . . END={n * 20 + 9} GT:DP:GQ 0/0:30:60" for n in range(number))
        content = vcf(*good)
        out = io.BytesIO()
        tracemalloc.start()
        tally = convert(io.BytesIO(content), Wish("Patient/p"), out)
        found = tracemalloc.get_traced_memory()[1] - out.tell()
        tracemalloc.stop()
        assert tally.regions == number
        regions = of_kind([json.loads(line) for line in out.getvalue().splitlines()], "53041-0")
        assert sum(len(said(one, "51959-5")) for one in regions) == number
        assert max(len(said(one, "51959-5")) for one in regions) == 1000
        return found

    assert peak(8000) < 2 * peak(2000)
