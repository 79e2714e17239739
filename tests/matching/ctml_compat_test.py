"""The two-valued reading agrees with a small MatchMiner: rows, paths through a clause, a query for each criterion."""

import json
import operator
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fhir_server.matching.ctml.compat import matches
from fhir_server.matching.ctml.trial import read_trial
from tests.deep import deep
from tests.matching import world as w
from tests.matching.ctml_test import EFO, FUSION, SO, full, trial
from tests.matching.evaluate_test import TERMS, facts
from tests.matching.kinds_test import NEGATIVE, POSITIVE

TODAY = date(2026, 6, 1)
SYMBOLS = {"EGFR": "HGNC:3236", "KRAS": "HGNC:6407", "ALK": "HGNC:427", "ERBB2": "HGNC:3430"}
CHANGES = ["p.L858R", "p.T790M", "p.G12C", "p.G12D", "p.G12*", "p.E746_A750del"]
SO_OF = {"Missense_Mutation": "SO:0001583", "Nonsense_Mutation": "SO:0001587", "In_Frame_Del": "SO:0001822"}
CALLS = {"High level amplification": "EFO:0030072", "Gain": "EFO:0030071", "Homozygous deletion": "EFO:0030069"}
DIAGNOSES = ["LUAD", "NSCLC", "LUNG", "SCLC", "IDC", "AML"]
Row = dict[str, Any]


# A sample as MatchMiner holds it, and the same as FHIR.


def sample(random: Random) -> tuple[Row, list[Row]]:
    clinical: Row = {}
    if random.random() < 0.85:
        clinical["DIAGNOSIS"] = random.choice(DIAGNOSES)
    if random.random() < 0.9:
        days = random.choice((0, 1, -1)) + random.randrange(3)
        clinical["BIRTH"] = date(TODAY.year - random.choice((1, 17, 18, 19, 40)), 6, 1) + timedelta(days=days)
    if random.random() < 0.9:
        clinical["GENDER"] = random.choice(("Male", "Female"))
    if random.random() < 0.5:
        clinical["TMB"] = random.choice((3, 10, 20))
    if random.random() < 0.5:
        clinical["HER2_STATUS"] = random.choice(("Positive", "Negative"))
    genomic: list[Row] = []
    for _ in range(random.randrange(4)):
        row: Row = {"GENE": random.choice([*SYMBOLS])}
        row["CATEGORY"] = random.choice(("MUTATION", "MUTATION", "CNV", "SV"))
        if row["CATEGORY"] == "MUTATION":
            row["CHANGE"] = random.choice(CHANGES)
            ended = "In_Frame_Del" if "del" in row["CHANGE"] else None
            row["CLASS"] = ended or ("Nonsense_Mutation" if row["CHANGE"].endswith("*") else "Missense_Mutation")
            row["EXON"] = random.choice((2, 19, 20, 21))
        elif row["CATEGORY"] == "CNV":
            row["CALL"] = random.choice([*CALLS])
        else:
            row["PARTNER"] = random.choice([None, *(gene for gene in SYMBOLS if gene != row["GENE"])])
        genomic.append(row)
    if random.random() < 0.4:
        genomic.append({"MMR": random.choice(("Deficient", "Proficient"))})
    if random.random() < 0.3:
        genomic.append({"GENE": random.choice([*SYMBOLS]), "CATEGORY": "MUTATION", "WILDTYPE": True})
    return clinical, genomic


def as_fhir(clinical: Row, genomic: list[Row]) -> tuple[w.Resource, list[w.Resource]]:
    patient = w.patient(birth=str(clinical["BIRTH"]) if "BIRTH" in clinical else None)
    if "GENDER" in clinical:
        patient["gender"] = clinical["GENDER"].lower()
    made: list[w.Resource] = []
    if "DIAGNOSIS" in clinical:
        made.append(w.condition("dx", (w.ONCOTREE, clinical["DIAGNOSIS"])))
    if "TMB" in clinical:
        made.append(w.tmb("tmb", clinical["TMB"]))
    if "HER2_STATUS" in clinical:
        answer = POSITIVE if clinical["HER2_STATUS"] == "Positive" else NEGATIVE
        made.append(w.observation("her2", "48676-1", valueCodeableConcept=w.concept(answer)))
    for number, row in enumerate(genomic):
        if "MMR" in row:
            made.append(w.msi(f"g{number}", "LA26203-2" if row["MMR"] == "Deficient" else "LA14122-8"))
            continue
        answer = "LA9634-2" if row.get("WILDTYPE") else "LA9633-4"
        one = w.variant(f"g{number}", SYMBOLS[row["GENE"]], row.get("CHANGE"), answer)
        if "EXON" in row:
            one["component"].append({"code": w.concept((w.LOINC, "47999-8")), "valueString": f"exon {row['EXON']}"})
            one["component"].append(w.component("48019-4", (SO, SO_OF[row["CLASS"]])))
        if "CALL" in row:
            one["component"].append(w.component("48019-4", (EFO, CALLS[row["CALL"]])))
        if row["CATEGORY"] == "SV":
            one["component"].append(FUSION)
            if row["PARTNER"]:
                one["component"].append(w.component("48018-6", (w.HGNC, SYMBOLS[row["PARTNER"]])))
        made.append(one)
    return patient, made


# MatchMiner, in small.


def tree() -> dict[str, list[str]]:
    """The codes at or below each name, from the file itself."""
    file = Path(__file__).parents[2] / "terminology" / "CodeSystem-oncotree-fragment.json"
    concepts = json.loads(file.read_text())["concept"]
    above = {c["code"]: next((p["valueCode"] for p in c.get("property", ()) if p["code"] == "parent"), None)
             for c in concepts}  # fmt: skip
    below: dict[str, list[str]] = {}
    for code in above:
        at: str | None = code
        while at in above:
            below.setdefault(next(c["display"] for c in concepts if c["code"] == at), []).append(code)
            at = above[at]
    liquid = below["Lymphoid"] + below["Myeloid"]
    return {**below, "_LIQUID_": liquid, "_SOLID_": [code for code in above if code not in liquid]}


TREE = tree()


def paths(nodes: list[Row]) -> Iterator[list[Row]]:
    """Every way through a clause: of an `or` one member, of an `and` all."""
    if not nodes:
        yield []
        return
    ((kind, body),) = nodes[0].items()
    first = (
        paths(body) if kind == "and" else (p for one in body for p in paths([one])) if kind == "or" else [[nodes[0]]]
    )
    for way in list(first):
        for rest in paths(nodes[1:]):
            yield [*way, *rest]


def bare(value: Any) -> tuple[Any, bool]:
    return (value[1:], True) if isinstance(value, str) and value.startswith("!") else (value, False)


SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}


def clinical_ok(key: str, value: Any, row: Row) -> bool:
    value, negate = bare(value)
    if key == "disease_status":
        return True
    if key == "oncotree_primary_diagnosis":
        return (row.get("DIAGNOSIS") in TREE[value]) != negate
    if key in ("age_numerical", "tmb_numerical"):
        sign, number = re.fullmatch(r"(\D+)(.+)", value).groups()  # type: ignore[union-attr]
        if key == "tmb_numerical":
            return "TMB" in row and SIGNS[sign](row["TMB"], float(number))
        years, _, part = number.partition(".")
        months = int(years) * 12 + round(float(f"0.{part or 0}") * 12)
        cut = date(
            TODAY.year - months // 12 - (TODAY.month <= months % 12), (TODAY.month - months % 12 - 1) % 12 + 1, 1
        )
        turned = {">=": "<=", "<=": ">=", ">": "<", "<": ">", "==": "=="}[sign]
        return "BIRTH" in row and SIGNS[turned](row["BIRTH"], cut)
    if key == "her2_status":
        value = {True: "Positive", False: "Negative"}.get(value, value)
    column = {"gender": "GENDER", "her2_status": "HER2_STATUS"}.get(key)
    return (column is not None and row.get(column) == value) != negate


CATEGORIES = {"Mutation": ["MUTATION"], "Copy Number Variation": ["CNV"], "Structural Variation": ["SV"],
              "Any Variation": ["MUTATION", "CNV"]}  # fmt: skip
CURATED = {"High Amplification": "High level amplification", "Low Amplification": "Gain",
           "Homozygous Deletion": "Homozygous deletion"}  # fmt: skip


def row_ok(row: Row, keys: Row) -> bool:
    if "mmr_status" in keys or "ms_status" in keys:
        wanted = keys.get("mmr_status", keys.get("ms_status"))
        return row.get("MMR") == ("Deficient" if wanted in ("MMR-Deficient", "MSI-H") else "Proficient")
    if "MMR" in row:
        return False
    if row.get("WILDTYPE") and "wildtype" not in keys:
        return False  # where MatchMiner takes what was not found for a mutation, we do not
    sides = [row["GENE"], row.get("PARTNER")]
    for key, value in keys.items():
        match key:
            case "hugo_symbol" if row["CATEGORY"] == "SV":
                fine = value == "any_gene" or value in sides
            case "hugo_symbol":
                fine = row["GENE"] == value
            case "fusion_partner_hugo_symbol":
                gene = keys["hugo_symbol"]
                orders = [(a, b) for a, b in (sides, sides[::-1]) if gene in (a, "any_gene")]
                fine = any(b is None if value == "intergenic" else b is not None and (value in (b, "any_gene"))
                           for _, b in orders)  # fmt: skip
            case "variant_category":
                fine = row["CATEGORY"] in CATEGORIES[value]
            case "protein_change":
                fine = row.get("CHANGE") == value
            case "wildcard_protein_change":
                fine = bool(re.fullmatch(value + "[ACDEFGHIKLMNPQRSTVWY]", row.get("CHANGE", "")))
            case "exon":
                fine = row.get("EXON") == value
            case "variant_classification":
                fine = row.get("CLASS") == value
            case "cnv_call":
                fine = row.get("CALL") == CURATED.get(value, value)
            case "wildtype":
                fine = row.get("WILDTYPE", False) == value
            case _:
                fine = False
        if not fine:
            return False
    return True


def small_matchminer(clause: list[Row], clinical: Row, genomic: list[Row]) -> bool:
    for path in paths(clause):
        fits = True
        for node in path:
            ((kind, body),) = node.items()
            if kind == "clinical":
                fits &= all(clinical_ok(key, value, clinical) for key, value in body.items())
            else:
                keys = {key: bare(value)[0] for key, value in body.items() if key != "display_name"}
                exclusion = any(bare(value)[1] for value in body.values())
                fits &= any(row_ok(row, keys) for row in genomic) != exclusion
        if fits:
            return True
    return False


def leaf(random: Random) -> Row:
    mark = random.choice(("", "", "!"))
    gene = random.choice([*SYMBOLS])
    if random.random() < 0.45:
        node: Row = random.choice((
            {"oncotree_primary_diagnosis": mark + random.choice(("Non-Small Cell Lung Cancer", "Lung", "_SOLID_",
                                                                 "_LIQUID_", "Breast"))},
            {"age_numerical": random.choice((">=", "<=", ">", "<", "==")) + random.choice(("18", "1", "0.5", "40.25"))},
            {"gender": mark + random.choice(("Male", "Female")), "age_numerical": ">=18"},
            {"tmb_numerical": random.choice((">=10", "<10", "==3"))},
            {"her2_status": random.choice(("Positive", "Negative", True, False))},
            {"disease_status": ["Recurrent"]},
            {"ecog_expression": "<=1"},
        ))  # fmt: skip
        return {"clinical": node}
    return {"genomic": random.choice((
        {"hugo_symbol": mark + gene, "variant_category": random.choice([*CATEGORIES])},
        {"hugo_symbol": gene, "variant_category": mark + "Mutation", "protein_change": random.choice(CHANGES)},
        {"hugo_symbol": gene, "protein_change": mark + random.choice(CHANGES)},
        {"hugo_symbol": gene, "wildcard_protein_change": mark + random.choice(("p.G12", "p.L858", "p.G1"))},
        {"hugo_symbol": gene, "exon": random.choice((19, 20)), "variant_classification": mark + "In_Frame_Del"},
        {"hugo_symbol": gene, "exon": "!20", "variant_category": "Mutation"},
        {"hugo_symbol": gene, "cnv_call": mark + random.choice([*CURATED])},
        {"hugo_symbol": gene, "variant_category": mark + "Structural Variation",
         "fusion_partner_hugo_symbol": random.choice(["any_gene", *SYMBOLS])},
        {"hugo_symbol": gene, "wildtype": random.choice((True, False))},
        {"mmr_status": mark + random.choice(("MMR-Deficient", "MMR-Proficient"))},
        {"ms_status": mark + random.choice(("MSI-H", "MSI-L", "MSS"))},
        {"hugo_symbol": mark + gene, "display_name": "any of it"},
    ))}  # fmt: skip


def clause(random: Random, depth: int) -> list[Row]:
    return [
        {kind: clause(random, depth - 1)} if (kind := random.choice(("", "and", "or"))) and depth else leaf(random)
        for _ in range(random.randint(1, 3))
    ]


def test_random_clauses_match_whom_matchminer_matches() -> None:
    random = Random(8)
    people = [sample(random) for _ in range(deep(40, 400))]
    known = [facts(*record, patient=patient) for patient, record in (as_fhir(*one) for one in people)]
    matched = 0
    for _ in range(deep(100, 3000)):
        match = clause(random, 2)
        document = trial(*match)
        for (clinical, genomic), person in zip(people, known, strict=True):
            expected = small_matchminer(match, clinical, genomic)
            assert bool(matches(document, person, TERMS, TODAY)) == expected, (match, clinical, genomic)
            matched += expected
    assert matched > 500, "the clauses are no mere failures"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        # What the reference of the migration lists: no data is no match, and its opposite a match.
        ({"hugo_symbol": "EGFR", "variant_category": "Mutation"}, False),
        ({"hugo_symbol": "EGFR", "variant_category": "!Mutation"}, True),
        ({"hugo_symbol": "EGFR", "protein_change": "!p.T790M", "variant_category": "Mutation"}, True),
        ({"hugo_symbol": "EGFR", "cnv_call": "!High Amplification"}, True),
        ({"mmr_status": "MMR-Proficient"}, False),
    ],
)
def test_without_data(node: Row, expected: bool) -> None:
    assert bool(matches(trial({"genomic": node}), facts(), TERMS, TODAY)) == expected


def test_an_or_of_negations_takes_everyone_who_has_not_both() -> None:
    either = trial({"or": [{"genomic": {"hugo_symbol": f"!{gene}"}} for gene in ("KRAS", "ALK")]})
    kras = facts(w.variant("v", SYMBOLS["KRAS"], "p.G12C"))
    assert matches(either, kras, TERMS, TODAY)
    assert matches(either, facts(), TERMS, TODAY)


def test_levels_are_matched_each_by_itself_and_closed_ones_not() -> None:
    document = full()
    step = document["treatment_list"]["step"][0]
    step["match"] = [{"clinical": {"gender": "Male"}}]  # nobody else's clause is held to it
    woman = facts(patient=w.patient(gender="female"))
    man = facts(patient=w.patient(gender="male"))
    assert [level.path for level in matches(document, woman, TERMS, TODAY)] == [
        "treatment_list.step[0].arm[0].dose_level[0]"
    ]
    assert [level.kind for level in matches(document, man, TERMS, TODAY)] == ["step"]
    assert matches({**document, "_summary": {"status": [{"value": "Closed"}]}}, man, TERMS, TODAY) == []
    for arm in step["arm"]:
        arm["arm_suspended"] = "y"
    assert matches(document, man, TERMS, TODAY) == []
    read_trial(document, TERMS)


@pytest.mark.parametrize(
    ("asked", "born", "expected"),
    [
        (">=18", "2008-06-01", True), (">18", "2008-06-01", False), ("<18", "2008-06-01", False),
        ("<=18", "2008-06-01", True), ("<=18", "2008-05-31", False), (">=18", "2008-06-02", False),
        ("==18", "2008-06-01", True), (">=18", None, False), ("<18", None, False), (">=18", "2000", False),
        (">=0.083", "2026-05-01", True), (">=0.083", "2026-05-02", False),
    ],
)  # fmt: skip
def test_ages_end_on_a_day(asked: str, born: str | None, expected: bool) -> None:
    person = facts(patient=w.patient(birth=born))
    assert bool(matches(trial({"clinical": {"age_numerical": asked}}), person, TERMS, TODAY)) == expected


def test_whole_years_by_age_expression() -> None:
    person = facts(patient=w.patient(birth="2007-06-02"))
    assert matches(trial({"clinical": {"age_expression": "<=18"}}), person, TERMS, TODAY)
    assert not matches(trial({"clinical": {"age_numerical": "<=18"}}), person, TERMS, TODAY)


def test_what_is_in_doubt_is_not_there() -> None:
    likely = facts(
        w.variant("v", SYMBOLS["KRAS"], "p.G12C", status="preliminary"), w.variant("x", None, None, "LA18198-4")
    )
    assert not matches(trial({"genomic": {"hugo_symbol": "KRAS"}}), likely, TERMS, TODAY)
    few = facts(w.variant("v", SYMBOLS["KRAS"], None))
    assert matches(trial({"genomic": {"hugo_symbol": "KRAS", "variant_category": "Mutation"}}), few, TERMS, TODAY)
