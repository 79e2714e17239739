"""HGVS spellings of one change are equal, and what is not one certain change is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.matching.hgvs import RESIDUES, parse, same_change

LETTERS = {one: three for three, one in RESIDUES.items()}


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("p.V600E", "V600E"),
        ("p.Val600Glu", "V600E"),
        ("p.(Val600Glu)", "V600E"),
        ("NP_004324.2:p.Val600Glu", "V600E"),
        ("NP_004324:p.(V600E)", "V600E"),
        ("BRAF p.V600E", "V600E"),
        ("BRAF:p.V600E", "V600E"),
        ("NP_004324.2(BRAF):p.V600E", "V600E"),
        ("p.Trp243Ter", "W243*"),
        ("p.Trp243*", "W243*"),
        ("p.R213X", "R213*"),
        ("p.Glu746_Ala750del", "E746_A750del"),
        ("p.E746_A750delELREA", "E746_A750del"),
        ("p.Leu747_Pro753delinsSer", "L747_P753delinsS"),
        ("p.Ala767_Val769dup", "A767_V769dup"),
        ("p.Asp770_Asn771insSerValAsp", "D770_N771insSVD"),
        ("p.Arg97ProfsTer23", "R97Pfs*23"),
        ("p.Arg97Profs*23", "R97Pfs*23"),
        ("p.(Arg97fs)", "R97fs"),
        ("p.Val600=", "V600="),
        ("p.(V600=)", "V600="),
        ("p.V600V", "V600="),
        ("c.1799T>A", "1799T>A"),
        ("NM_004333.4(BRAF):c.1799T>A (p.Val600Glu)", "1799T>A"),
        ("NM_005228.5:c.2235_2249delGGAATTAAGAGAAGC", "2235_2249del"),
        ("c.5266dupC", "5266dup"),
        ("c.3028+1G>T", "3028+1G>T"),
    ],
)
def test_spellings_have_one_form(text: str, change: str) -> None:
    variant = parse(text)
    assert variant is not None
    assert variant.change == change


@pytest.mark.parametrize(
    "text",
    ["", "V600E", "p.", "p.?", "p.=", "p.V600", "EGFR", "p.[V600E;K601E]", "c.?", "c.1="],
)
def test_what_is_not_one_certain_change_is_refused(text: str) -> None:
    assert parse(text) is None


def test_reference_and_gene_are_kept_without_version() -> None:
    variant = parse("NP_005219.2:p.Leu858Arg")
    assert variant is not None
    assert (variant.reference, variant.gene, variant.start) == ("NP_005219", None, 858)
    named = parse("H3-3A p.Lys28Met")
    assert named is not None
    assert (named.reference, named.gene, named.change) == (None, "H3-3A", "K28M")


CHANGES = """
    V600E V600K L858R T790M C797S G719A G12C G12D G12V G13D Q61R Q61K R132H R140Q R172K H1047R E545K E542K
    R175H R248Q R273H Y220C F1174L R1275Q D816V V559D N546K K27M G34R R213* W243* Q1367* R1450* E746_A750del
    L747_P753delinsS L747_T751del A767_V769dup D770_N771insSVD Y772_A775dup N771_P772insH W557_K558del K642E
    R97Pfs*23 E1309Dfs*4 R97fs S310F L755S M918T C634R D835Y
""".split()  # noqa: SIM905  # fifty in six lines
# Ways to write a change, in one-letter and three-letter residues.
FORMS = (
    "p.{one}", "p.({one})", "EGFR p.{one}", "EGFR:p.{one}", "NP_005219.2:p.{one}",
    "p.{three}", "p.({three})", "EGFR p.{three}", "NP_005219:p.({three})", "NP_005219.2(EGFR):p.{three}",
    "ENSP00000275493.2:p.{three}", "LRG_304p1:p.{one}",
)  # fmt: skip


def long(change: str) -> str:
    """A change in three-letter residues; kinds of change stay as they are."""
    return re.sub(r"(?<![a-z])[A-Z*](?![a-z])|(?<=ins)[A-Z]+|(?<=\d)[A-Z](?=fs)", spelled, change)


def spelled(found: re.Match[str]) -> str:
    return "".join(LETTERS[letter] for letter in found[0])


def test_six_hundred_spellings_of_fifty_changes() -> None:
    assert len(CHANGES) * len(FORMS) >= 500
    for change in CHANGES:
        for form in FORMS:
            text = form.format(one=change, three=long(change))
            variant = parse(text)
            assert variant is not None, text
            assert variant.change == change, text


@given(st.sampled_from(sorted(LETTERS)), st.integers(1, 40_000), st.sampled_from(sorted(LETTERS)))
def test_three_and_one_letter_forms_agree(before: str, position: int, after: str) -> None:
    short, long = parse(f"p.{before}{position}{after}"), parse(f"p.({LETTERS[before]}{position}{LETTERS[after]})")
    assert short == long
    assert short is not None
    assert (short.edit == "same") == (before == after)


def test_a_short_frameshift_accepts_any_end_but_not_the_reverse() -> None:
    short, long, other = parse("p.R97fs"), parse("p.Arg97ProfsTer23"), parse("p.R98Pfs*2")
    assert short is not None
    assert long is not None
    assert other is not None
    assert same_change(short, long)
    assert not same_change(long, short)
    assert not same_change(short, other)


def test_an_absurd_position_is_refused() -> None:
    assert parse(f"p.V{'9' * 5000}E") is None


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    parse("p." + text)
    parse(text)
