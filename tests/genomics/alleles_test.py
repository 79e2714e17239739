"""Two notations of one allele are equal, and those of two alleles are not. https://www.ncbi.nlm.nih.gov/variation/notation/"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.genomics import fasta
from fhir_server.genomics.alleles import Allele, Mismatch, keys, parse, replaced, spelled, trimmed
from fhir_server.genomics.assemblies import (
    GRCH37,
    GRCH38,
    accession_of,
    assembly_named,
    assembly_of,
    chromosome_named,
    is_chromosome,
    other,
)
from fhir_server.genomics.chain import opened
from fhir_server.genomics.variant import Interval
from tests.genomics.world import chain_file

ON = "NC_000001.11"


@pytest.mark.parametrize(
    ("texts", "key"),
    [
        (("{}:9:A:T", "{}:g.10A>T", "{}:8:CA:CT", "{}:9:1:T", "{}:7:GCAG:GCTG"), "9:1:T"),
        (("{}:9:A:", "{}:g.10del", "{}:g.10delA", "{}:9:1:", "{}:8:CA:C"), "9:1:"),
        (("{}:g.10_12del", "{}:g.10_12delACG", "{}:9:ACG:", "{}:9:3:"), "9:3:"),
        (("{}:10::TT", "{}:g.10_11insTT", "{}:9:A:ATT"), "10:0:TT"),
        (("{}:g.10_12delinsTT", "{}:g.10_12delACGinsTT", "{}:9:ACG:TT", "{}:9:3:TT"), "9:3:TT"),
        (("{}:g.10_11inv", "{}:9:2:"), None),
        (("{}:g.10_12invACG", "{}:9:ACG:CGT"), "9:3:CGT"),
        (("{}:g.10_11dupCA", "{}:9:CA:CACA"), "9:0:CA"),
        (("{}:g.10A=", "{}:9:A:A"), "9:1:A"),
        (("{}:9:A:U",), "9:1:T"),
    ],
)
def test_notations(texts: tuple[str, ...], key: str | None) -> None:
    for text in texts:
        allele = parse(text.format(ON))
        assert allele is not None, text
        assert allele.accession == ON
        if key is not None:
            assert keys(allele)[0] == key, text


@pytest.mark.parametrize(
    "text",
    ["", "x", f"{ON}", f"{ON}:9", f"{ON}:9:A", f"{ON}:-1:A:T", f"{ON}:9:X:T", f"{ON}:g.0A>T", f"{ON}:g.10_9del",
     f"{ON}:g.10_12insA", f"{ON}:g.?", f"{ON}:g.(10_12)del", f"{ON}:g.10_12delAC", "NM_004333.4:c.1799T>A",
     "NP_004324.2:p.Val600Glu", "chr7:g.10A>T", f"{ON}:9:A:T:", f"{ON}:g.10[5]"],
)  # fmt: skip
def test_what_is_no_allele_of_a_genomic_sequence(text: str) -> None:
    assert parse(text) is None


def test_hgvs_is_compared_as_it_is_spelled() -> None:
    assert spelled(" NM_004333.4(BRAF):c.1799T>A ") == spelled("NM_004333.4:c.1799T>A") == "NM_004333.4:c.1799T>A"
    assert spelled("NM_000251.3(MSH2):c.1832del (p.Val611fs)") == "NM_000251.3:c.1832del"
    assert spelled("NP_004324.2:p.(Val600Glu)") == "NP_004324.2:p.(Val600Glu)"
    assert spelled("NP_004324.2:p.Val600Glu") == "NP_004324.2:p.Val600Glu"
    assert spelled("BRAF V600E") == spelled("p.V600E") == spelled(f"{ON}:9:A:T") == ""


def test_what_only_the_reference_can_tell() -> None:
    sequence = "GATTACAGGA"

    def bases(accession: str, start: int, end: int) -> str:
        return sequence[start:end] if accession == ON else ""

    for text in ("g.3dup", "g.3_4inv", "g.3="):
        allele = parse(f"{ON}:{text}")
        assert allele is not None
        assert keys(allele) == ()
        assert keys(allele, bases)
    duplicated = parse(f"{ON}:g.3dup")
    assert duplicated is not None
    assert keys(duplicated, bases) == ("2:0:T", "3:0:T", "4:0:T")
    for text in (f"{ON}:0:C:T", f"{ON}:8:GAG:T"):
        wrong = parse(text)
        assert wrong is not None
        with pytest.raises(Mismatch):
            keys(wrong, bases)


DNA = st.text("ACG", max_size=4)


def applied(sequence: str, allele: Allele) -> str:
    assert allele.inserted is not None
    return sequence[: allele.start] + allele.inserted + sequence[allele.start + allele.length :]


@given(st.text("AC", min_size=4, max_size=12), st.data())
def test_alleles_are_equal_where_what_they_make_is(sequence: str, data: st.DataObject) -> None:
    def bases(accession: str, start: int, end: int) -> str:
        return sequence[start:end]

    drawn = []
    for _ in range(2):
        start = data.draw(st.integers(0, len(sequence)))
        end = data.draw(st.integers(start, min(start + 4, len(sequence))))
        drawn.append(replaced(ON, start, sequence[start:end], data.draw(st.text("AC", max_size=4))))
    one, two = drawn
    assert one is not None
    assert two is not None
    if not one.changes or not two.changes:
        return
    found = [keys(trimmed(allele), bases) for allele in (one, two)]
    assert (set(found[0]) & set(found[1]) != set()) == (applied(sequence, one) == applied(sequence, two))
    assert len(keys(one)) <= len(found[0]), "the deleted allele alone tells no more placements"
    assert set(keys(one)) <= set(found[0])


def test_the_placements_within_what_an_allele_says() -> None:
    allele = parse("NC_000017.10:41243854:AAA:AAAA")
    assert allele is not None
    assert keys(allele) == tuple(f"{at}:0:A" for at in range(41243854, 41243858))
    assert keys(allele, most=2) == ("41243854:0:A", "41243855:0:A")


def test_chromosomes() -> None:
    assert accession_of(GRCH37, "7") == "NC_000007.13"
    assert other("NC_000007.13") == "NC_000007.14"
    assert other("NC_000007.14") == "NC_000007.13"
    assert other("NC_012920.1") == other("NC_000007.12") == ""
    assert (assembly_of("NC_000024.9"), assembly_of("NC_000024.10")) == (GRCH37, GRCH38)
    assert is_chromosome("NC_012920.1")
    assert not is_chromosome("NC_000019.8")
    assert [chromosome_named(text) for text in ("chr7", "7", "Chromosome X", "LA21269-8", "chrM", "23", "LA1-2")] == [
        "7", "7", "X", "16", "MT", "", ""]  # fmt: skip
    assert [assembly_named(text) for text in ("LA26806-2", "GRCh37.p13", "hg38", "T2T")] == [GRCH38, GRCH37, GRCH38, ""]


def test_a_reference_sequence_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa"
    path.write_text(f">{ON} Homo sapiens\nGATTA\nCAGga\nT\n>NC_000002.12 next\nCCCCC\n")
    with pytest.raises(ValueError, match="samtools faidx"):
        fasta.opened(str(path))
    (tmp_path / "genome.fa.fai").write_text(f"{ON}\t11\t27\t5\t6\nNC_000002.12\t5\t60\t5\t6\n")
    bases = fasta.opened(str(path))
    assert bases is not None
    assert bases(ON, 0, 11) == "GATTACAGGAT"
    assert bases(ON, 4, 6) == "AC"
    assert bases(ON, -3, 99) == "GATTACAGGAT"
    assert bases("NC_000002.12", 0, 5) == "CCCCC"
    assert bases(ON, 11, 12) == bases("NC_000003.12", 0, 4) == ""
    path.write_bytes(b"\x1f\x8b")
    fasta.opened.cache_clear()
    with pytest.raises(ValueError, match="no FASTA"):
        fasta.opened(str(path))


def test_regions_are_converted_both_ways(tmp_path: Path) -> None:
    path = Path(chain_file(tmp_path, ("1", 1000, 2000, 100)))
    text = path.read_text() + (
        "\n\nchain 10 chr2 300000000 + 0 100 chr2 300000000 + 500 605 7\n40 10 15\n50\n"
        "\nchain 10 chr3 1000 + 0 100 chr3 1000 - 100 200 8\n100\n\nchain 9 chr4 1000 + 0 10 chr5 1000 + 0 10 9\n10\n"
    )
    path.write_text(text)
    lift = opened(str(path))
    assert lift is not None

    def lifted(accession: str, start: int, end: int) -> tuple[str, int, int, bool] | None:
        found = lift(Interval(accession, start, end))
        return None if found is None else (*found.at, found.whole)

    assert lifted("NC_000001.10", 1000, 1500) == ("NC_000001.11", 1100, 1600, True)
    assert lifted("NC_000001.11", 1100, 1600) == ("NC_000001.10", 1000, 1500, True)
    assert lifted("NC_000001.10", 999, 1500) is None
    assert lifted("NC_000001.10", 1500, 2001) is None
    assert lifted("NC_000002.11", 30, 60) == ("NC_000002.12", 530, 565, False)
    assert lifted("NC_000002.11", 45, 48) == ("NC_000002.12", 539, 556, False), "a gap is what lies around it"
    assert lifted("NC_000002.12", 545, 550) == ("NC_000002.11", 39, 51, False)
    assert lifted("NC_000003.11", 0, 10) == ("NC_000003.12", 890, 900, False)
    assert lifted("NC_000003.12", 890, 900) == ("NC_000003.11", 0, 10, False)
    assert lifted("NC_000004.11", 0, 5) is None
    for wrong in ("", "chain x", "chain 1 chr1 10 + 0 1 chr1 10 + 0 1 1\nx"):
        broken = tmp_path / "broken.chain"
        broken.write_text(wrong)
        with pytest.raises(ValueError, match="broken"):
            opened(str(broken))
