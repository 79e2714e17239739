"""CTML trials become ResearchStudy and Groups that mean the same, and come back as they were written."""

import copy
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fhir_server.fhir.codec import decode, encode
from fhir_server.matching.criteria import compile_study
from fhir_server.matching.ctml.clauses import grouped, read_clause, say_clause
from fhir_server.matching.ctml.files import read, written
from fhir_server.matching.ctml.trial import CLAUSE, TRIAL, Refused, read_trial, say_trial
from fhir_server.matching.ctml.words import Unmapped
from fhir_server.matching.evaluate import evaluate_study
from tests.deep import deep
from tests.matching import world as w
from tests.matching.evaluate_test import EGFR, NOW, TERMS, facts
from tests.matching.kinds_test import NEGATIVE, POSITIVE

KRAS = "HGNC:6407"
EXON_19 = {"hugo_symbol": "EGFR", "variant_category": "Mutation", "exon": 19, "variant_classification": "In_Frame_Del"}


def trial(*match: Any, **more: Any) -> dict[str, Any]:
    """A trial with one arm."""
    arm = {"arm_code": "A", "arm_internal_id": 1, "arm_suspended": "N", "match": list(match), "dose_level": []}
    step = {"step_internal_id": 1, "step_code": "1", "step_type": "Registration", "arm": [arm]}
    return {"protocol_no": "99-001", "status": "open to accrual", "treatment_list": {"step": [step]}, **more}


def full() -> dict[str, Any]:
    """A trial that says all that tools write beside criteria, with clauses at every level."""
    document = trial(
        {"and": [{"clinical": {"oncotree_primary_diagnosis": "Non-Small Cell Lung Cancer", "age_numerical": ">=18"}},
                 {"or": [{"genomic": EXON_19}, {"genomic": {"hugo_symbol": "EGFR", "protein_change": "p.L858R"}}]}]},
        nct_id="NCT00000000", protocol_id=7, protocol_ids=["7a", "7b"], long_title="A made-up study of drug X",
        short_title="Drug X", summary="What it is about.\nOn two lines.", phase="I/II", age="Adults", protocol_type="",
        curated_on="2018-10-26", last_updated="October 26, 2018", data_table4="Interventional",
        protocol_target_accrual=40, cancer_center_accrual_goal_upper=0, cancer_center_current_accrual=None,
        principal_investigator="A. Example", principal_investigator_institution="Example Hospital",
        drug_list={"drug": [{"drug_name": "Drug X"}, {"drug_name": "Osimertinib"}]},
        management_group_list={"management_group": [{"is_primary": "Y", "management_group_name": "Lung"}]},
        oncology_group_list={"oncology_group": [{"group_name": "One", "is_primary": "N"}]},
        program_area_list={"program_area": [{"is_primary": "Y", "program_area_name": "Thoracic"}]},
        site_list={"site": [{"site_name": "Example Hospital", "site_status": "SUSPENDED", "coordinating_center": "N"}]},
        sponsor_list={"sponsor": [{"sponsor_name": "Example", "is_principal_sponsor": "Y", "sponsor_roles": ""}]},
        staff_list={"protocol_staff": [{"first_name": "B", "start_date": 1503547200000, "middle_name": ""}]},
        prior_treatment_requirements=["No platinum.", "At least one line, said in \"words\"."],
        _summary={"status": [{"value": "Open to Accrual"}], "coordinating_center": "Example Hospital"},
    )  # fmt: skip
    step = document["treatment_list"]["step"][0]
    step["match"] = [{"clinical": {"disease_status": ["Metastatic", "Recurrent"]}}]
    step["arm"][0]["dose_level"] = [
        {"level_code": "1", "level_description": "10 mg", "level_internal_id": 11, "level_suspended": "N",
         "match": [{"clinical": {"gender": "Female"}}]},
        {"level_code": "2", "level_description": "20 mg", "level_internal_id": 12, "level_suspended": "Y",
         "match": [{"clinical": {"gender": "Male"}}]},
    ]  # fmt: skip
    step["arm"] += [
        {"arm_code": "A", "arm_description": "The same code again", "arm_internal_id": 2, "arm_suspended": "Y",
         "match": [{"genomic": {"hugo_symbol": "!KRAS", "variant_category": "Mutation"}}]},
        {"arm_code": "C", "arm_internal_id": 3, "arm_suspended": "N", "match": []},
    ]  # fmt: skip
    return document


def stored(document: dict[str, Any]) -> tuple[w.Resource, dict[str, w.Resource]]:
    """What a document becomes, as a store gives it back."""
    study, *groups = (decode(encode(one)) for one in read_trial(document, TERMS))
    return study, {f"Group/{group['id']}": group for group in groups}


EVERY_KEY = [
    {"clinical": {"oncotree_primary_diagnosis": "_SOLID_"}},
    {"clinical": {"oncotree_primary_diagnosis": "!_LIQUID_", "age_numerical": "<18", "gender": "Male"}},
    {"clinical": {"age_numerical": ">0.083"}},
    {"clinical": {"age_numerical": ">=.5"}},
    {"clinical": {"age_expression": "==40"}},
    {"clinical": {"tmb_numerical": ">=10", "tmb": "<100.5"}},
    {"clinical": {"er_status": "Positive", "pr_status": False, "her2_status": "true"}},
    {"clinical": {"disease_status": ["Metastatic"], "ecog_expression": "<=1"}},
    {"clinical": {"number_prior_lines_therapy_allowed": "<=2", "llm_stage_group": "Stage III", "llm_class_m": "M0"}},
    {"genomic": {"hugo_symbol": "KRAS"}},
    {"genomic": {"hugo_symbol": "SOMEGENE9", "variant_category": "!CNV"}},
    {"genomic": {"hugo_symbol": "KRAS", "variant_category": "Any Variation", "display_name": "KRAS anything"}},
    {"genomic": {"hugo_symbol": "BRAF", "wildcard_protein_change": "V600"}},
    {"genomic": {"hugo_symbol": "!BRAF", "wildcard_protein_change": "!p.V600", "variant_category": "Mutation"}},
    {"genomic": {"hugo_symbol": "RPA1", "true_variant_classification": "Silent", "protein_change": "p.A466="}},
    {"genomic": {"variant_category": "Copy Number Variation", "hugo_symbol": "ERBB2", "cnv_call": "Gain"}},
    {"genomic": {"hugo_symbol": "PTEN", "cnv_call": "!Homozygous deletion", "variant_category": "CNV"}},
    {"genomic": {"variant_category": "Structural Variation", "hugo_symbol": "ALK", "fusion_partner_hugo_symbol": "A"}},
    {"genomic": {"hugo_symbol": "any_gene", "fusion_partner_hugo_symbol": "ALK", "variant_category": "SV"}},
    {"genomic": {"hugo_symbol": "ROS1", "fusion_partner_hugo_symbol": "any_gene"}},
    {"genomic": {"hugo_symbol": "ALK", "fusion_partner_hugo_symbol": "intergenic"}},
    {"genomic": {"hugo_symbol": "KRAS", "wildtype": True}},
    {"genomic": {"hugo_symbol": "PIK3CA", "molecular_function": "Activating", "variant_category": "Mutation"}},
    {"genomic": {"hugo_symbol": "BRCA1", "germline": True, "annotated_variant": "Oncogenic Mutations"}},
    {"genomic": {"hugo_symbol": 1, "mmr_status": "MMR-Deficient"}},
    {"genomic": {"ms_status": "!MSI-H"}},
    {"genomic": {"tobacco_signature": "Yes"}},
    {"genomic": {"uva_signature": True}},
    {"prior_treatment": {"prior_treatment_agent": "!osimertinib"}},
    {"prior_treatments": {"drug": "Cisplatin"}},
    {"prior_treatment": {"agent_class": "PARP inhibitor"}},
    {"or": [{"and": [{"genomic": EXON_19}, {"or": [{"clinical": {"gender": "Male"}}]}]}, {"clinical": {"tmb": "1"}}]},
]  # fmt: skip


@pytest.mark.parametrize("as_yaml", [False, True])
@pytest.mark.parametrize("document", [full(), *(trial(node) for node in EVERY_KEY), trial(*EVERY_KEY)])
def test_a_trial_comes_back_as_it_was(document: dict[str, Any], as_yaml: bool, tmp_path: Path) -> None:
    path = tmp_path / ("trial.yml" if as_yaml else "trial.json")
    path.write_bytes(written(document, as_yaml))
    (given,) = read(path)
    assert given == document
    study, groups = stored(given)
    back = say_trial(study, groups.get, TERMS)
    assert written(back, as_yaml) == path.read_bytes(), "to the order of the keys and the digits"


@pytest.mark.parametrize("node", EVERY_KEY)
def test_what_is_stored_can_be_judged_and_said_anew(node: dict[str, Any]) -> None:
    study, groups = stored(trial(node))
    compiled = compile_study(study, 1, {key: (group, 1) for key, group in groups.items()}.get, TERMS)
    assert not [problem for problem in compiled.problems if problem.path]
    (group,) = groups.values()
    del group["extension"]  # the words that were written: now it must find its own
    first, held = group["characteristic"], group.get("contained", [])
    if node.get("prior_treatment", {}).get("agent_class"):
        with pytest.raises(Unmapped, match="RxNorm"):
            say_trial(study, groups.get, TERMS)
        return
    said = say_trial(study, groups.get, TERMS)["treatment_list"]["step"][0]["arm"][0]["match"]
    again = decode(encode(grouped(read_clause(said, TERMS), "s1a1c")))
    assert again == [first, held]


def random_clause(random: Random, depth: int) -> list[dict[str, Any]]:
    found = []
    for _ in range(random.randint(1, 3)):
        kind = random.choice(["leaf", "leaf", "or", "and"]) if depth else "leaf"
        leaves = [one for one in EVERY_KEY if "or" not in one and "agent_class" not in str(one)]
        found.append(random.choice(leaves) if kind == "leaf" else {kind: random_clause(random, depth - 1)})
    return found


def test_random_clauses_said_anew_mean_the_same() -> None:
    random = Random(6)
    for _ in range(deep(300, 5000)):
        first, held = decode(encode(grouped(read_clause(random_clause(random, 3), TERMS))))
        said = say_clause({"characteristic": first, "contained": held}, TERMS)
        assert decode(encode(grouped(read_clause(said, TERMS)))) == [first, held]


def test_levels_hold_what_is_above_them_and_open_arms_are_the_ways_in() -> None:
    study, groups = stored(full())
    assert [one["reference"][-6:] for one in study["enrollment"]] == ["s1a1d1", "s1a1d2", "1-s1a2", "001-s1"]
    by = {key.rpartition("-")[2]: group for key, group in groups.items()}
    parents = {tail: group["characteristic"][0]["valueReference"]["reference"].rpartition("-")[2]
               for tail, group in by.items() if group["characteristic"][0]["id"].startswith("of-")}  # fmt: skip
    assert parents == {"s1a1": "s1", "s1a1d1": "s1a1", "s1a1d2": "s1a1", "s1a2": "s1"}
    ids = [one["id"] for group in by.values() for inner in (group, *group.get("contained", ()))
           for one in inner["characteristic"] if not one["id"].startswith("of-")]  # fmt: skip
    assert len(ids) == len(set(ids)), "an explanation of an arm names the criteria of what is above it too"
    assert {tail: group["active"] for tail, group in by.items()} == {
        "s1": True, "s1a1": True, "s1a1d1": True, "s1a1d2": False, "s1a2": True,
    }  # fmt: skip
    arms = [(arm["name"], "extension" in arm) for arm in study["arm"]]
    assert arms == [("A", False), ("A (step 1, arm 2)", True), ("C", False)]
    assert study["status"] == "active"
    assert study["phase"]["coding"][0]["code"] == "phase-1-phase-2"


def outcome(node: dict[str, Any], *record: w.Resource, patient: w.Resource | None = None) -> str:
    study, groups = stored(trial(node))
    compiled = compile_study(study, 1, {key: (group, 1) for key, group in groups.items()}.get, TERMS)
    return evaluate_study(compiled, facts(*record, patient=patient), TERMS, NOW)[0]


def found(change: str | None, gene: str = EGFR, *more: w.Resource) -> w.Resource:
    made = w.variant("v", gene, change)
    return {**made, "component": [*made["component"], *more]}


def copies(number: int) -> w.Resource:
    return {"code": w.concept((w.LOINC, "82155-3")), "valueQuantity": {"value": number, "code": "1"}}


SO, EFO = "http://www.sequenceontology.org", "http://www.ebi.ac.uk/efo"
FUSION = w.component("48019-4", (SO, "SO:0001565"))
EML4 = w.component("48018-6", (w.HGNC, "EML4"))
ERBB2, ALK = "HGNC:3430", "HGNC:427"


@pytest.mark.parametrize(
    ("node", "record", "expected"),
    [
        (EXON_19, [found("p.E746_A750del")], "met"),  # the residues tell the exon
        (EXON_19, [found("p.D770_N771insG")], "unknown"),  # the exon may not have been studied
        (EXON_19, [found("p.D770_N771insG"), w.region("r", EGFR)], "not-met"),
        (EXON_19, [found(None)], "unknown"),
        (EXON_19, [], "unknown"),
        (EXON_19, [w.region("r", EGFR)], "not-met"),
        ({"hugo_symbol": "KRAS", "variant_category": "Mutation"}, [found("p.G12C", KRAS)], "met"),
        (
            {"hugo_symbol": "KRAS", "variant_category": "Mutation"},
            [found(None, KRAS, copies(8)), w.region("r", KRAS)],
            "not-met",
        ),
        ({"hugo_symbol": "KRAS", "variant_category": "Any Variation"}, [found(None, KRAS, copies(8))], "met"),
        ({"hugo_symbol": "KRAS", "variant_category": "Mutation"}, [found(None, KRAS)], "unknown"),
        ({"hugo_symbol": "!KRAS", "variant_category": "Mutation"}, [found("p.G12C", KRAS)], "not-met"),
        ({"hugo_symbol": "!KRAS", "variant_category": "Mutation"}, [], "unknown"),  # to MatchMiner: a match
        ({"hugo_symbol": "!KRAS", "variant_category": "Mutation"}, [w.region("r", KRAS)], "met"),
        ({"hugo_symbol": "KRAS", "wildtype": True}, [w.region("r", KRAS)], "met"),
        ({"hugo_symbol": "KRAS", "wildcard_protein_change": "p.G12"}, [found("p.Gly12Asp", KRAS)], "met"),
        (
            {"hugo_symbol": "KRAS", "wildcard_protein_change": "p.G12"},
            [found("p.G12*", KRAS), w.region("r", KRAS)],
            "not-met",
        ),
        (
            {"hugo_symbol": "KRAS", "wildcard_protein_change": "p.G12"},
            [found("p.G13D", KRAS), w.region("r", KRAS)],
            "not-met",
        ),
        ({"hugo_symbol": "EGFR", "protein_change": "!p.T790M"}, [found("p.Thr790Met")], "not-met"),
        ({"hugo_symbol": "ERBB2", "cnv_call": "High Amplification"}, [found(None, ERBB2, copies(20))], "unknown"),
        (
            {"hugo_symbol": "ERBB2", "cnv_call": "High Amplification"},
            [found(None, ERBB2, copies(1)), w.region("r", ERBB2)],
            "not-met",
        ),
        ({"hugo_symbol": "ERBB2", "cnv_call": "Homozygous Deletion"}, [found(None, ERBB2, copies(0))], "met"),
        (
            {"hugo_symbol": "ERBB2", "cnv_call": "High Amplification"},
            [found(None, ERBB2, w.component("48019-4", (EFO, "EFO:0030072")))],
            "met",
        ),
        ({"hugo_symbol": "ALK", "variant_category": "Structural Variation"}, [found(None, ALK, FUSION)], "met"),
        ({"hugo_symbol": "ALK", "fusion_partner_hugo_symbol": "EML4"}, [found(None, ALK, FUSION, EML4)], "met"),
        ({"hugo_symbol": "ALK", "fusion_partner_hugo_symbol": "EML4"}, [found(None, ALK, FUSION)], "unknown"),
        (
            {"hugo_symbol": "ALK", "fusion_partner_hugo_symbol": "KIF5B"},
            [found(None, ALK, FUSION, EML4), w.region("r", ALK)],
            "not-met",
        ),
        ({"mmr_status": "MMR-Deficient"}, [w.msi("m", "LA26203-2")], "met"),
        ({"mmr_status": "MMR-Proficient"}, [w.msi("m", "LA14122-8")], "met"),
        ({"mmr_status": "MMR-Proficient"}, [], "unknown"),
        ({"ms_status": "!MSI-H"}, [w.msi("m", "LA26203-2")], "not-met"),
    ],
)
def test_a_genomic_node_in_three_values(node: dict[str, Any], record: list[w.Resource], expected: str) -> None:
    assert outcome({"genomic": node}, *record) == expected


@pytest.mark.parametrize(
    ("node", "record", "expected"),
    [
        ({"age_numerical": ">=18"}, [], "met"),
        ({"age_numerical": "<18"}, [], "not-met"),
        ({"age_numerical": "!<18"}, [], "met"),
        ({"oncotree_primary_diagnosis": "Non-Small Cell Lung Cancer"}, [w.condition("d", (w.ONCOTREE, "LUAD"))], "met"),
        ({"oncotree_primary_diagnosis": "NSCLC"}, [w.condition("d", (w.ONCOTREE, "LUNG"))], "unknown"),
        ({"oncotree_primary_diagnosis": "!NSCLC"}, [], "unknown"),
        ({"oncotree_primary_diagnosis": "_SOLID_"}, [w.condition("d", (w.SNOMED, "254626006"))], "met"),
        ({"oncotree_primary_diagnosis": "_LIQUID_"}, [w.condition("d", (w.SNOMED, "254626006"))], "not-met"),
        ({"tmb": "10"}, [w.tmb("t", 10)], "met"),
        ({"tmb_numerical": ">=10"}, [w.tmb("t", 9.9)], "not-met"),
        ({"her2_status": "Positive"}, [w.observation("h", "48676-1", valueCodeableConcept=w.concept(POSITIVE))], "met"),
        ({"her2_status": False}, [w.observation("h", "48676-1", valueCodeableConcept=w.concept(NEGATIVE))], "met"),
        ({"disease_status": ["Recurrent"]}, [], "unknown"),
        ({"ecog_expression": "<=1"}, [w.ecog("e", 2)], "not-met"),
        ({"gender": "Female"}, [], "unknown"),
    ],
)
def test_a_clinical_node_in_three_values(node: dict[str, Any], record: list[w.Resource], expected: str) -> None:
    if expected == "unknown" and set(node) in ({"disease_status"},):
        node = {**node, "age_numerical": ">=1"}  # words alone make no arm
    assert outcome({"clinical": node}, *record) == expected


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sponsors": []}, "sponsors"),
        ({"status": "perhaps"}, "status: 'perhaps'"),
        ({"protocol_no": ""}, "protocol_no"),
        ({"treatment_list": {"step": [{"stage": 1}]}}, "treatment_list.step[0].stage"),
        ({"treatment_list": {"step": {}}}, "treatment_list.step"),
        ({"treatment_list": {"steps": []}}, "treatment_list.steps"),
        ({"match": [{"clinical": {"agee": 1}}]}, "match[0].clinical.agee"),
    ],
)
def test_a_key_that_cannot_be_mapped_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused) as refused:
        read_trial({**trial({"clinical": {"gender": "Male"}}), **change}, TERMS)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("node", "named"),
    [
        ({"genomic": {"hugo_symbol": "EGFR", "tier": 1}}, "genomic.tier"),
        ({"genomic": {"variant_category": "Mutation"}}, "genomic.hugo_symbol"),
        ({"genomic": {"hugo_symbol": "EGFR", "protein_change": "exon 19"}}, "genomic.protein_change"),
        ({"genomic": {"hugo_symbol": "EGFR", "exon": "19-21"}}, "genomic.exon"),
        ({"genomic": {"hugo_symbol": "EGFR", "cnv_call": "Loss"}}, "genomic.cnv_call"),
        ({"genomic": {"hugo_symbol": "EGFR", "variant_category": "Mutations"}}, "genomic.variant_category"),
        ({"clinical": {"oncotree_primary_diagnosis": "All Solid Tumors"}}, "clinical.oncotree_primary_diagnosis"),
        ({"clinical": {"age_numerical": "eighteen"}}, "clinical.age_numerical"),
        ({"clinical": {"brca1_germline_mutation": "Yes"}}, "clinical.brca1_germline_mutation"),
        ({"clinical": {}}, "clinical"),
        ({"prior_treatment": {"agent": "a drug of tomorrow"}}, "prior_treatment.agent"),
        ({"or": []}, "or"),
        ({"and": [{"not": []}]}, "and[0].not"),
        ({"and": [{"or": [{"clinical": {"gender": "Male"}}, {"clinical": {"gender": "X"}}]}]},
         "and[0].or[1].clinical.gender"),
        ({"clinical": {"gender": "Male"}, "genomic": {"hugo_symbol": "EGFR"}}, "match[0]"),
    ],
)  # fmt: skip
def test_a_criterion_that_cannot_be_mapped_is_named(node: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused) as refused:
        read_trial(trial(node), TERMS)
    assert f"treatment_list.step[0].arm[0].match[0].{named}".replace(".match[0].match", ".match") in str(refused.value)


def test_every_reason_is_told_at_once() -> None:
    document = {**trial({"clinical": {"age_numerical": "old"}}), "odd": 1, "status": "perhaps"}
    with pytest.raises(Refused) as refused:
        read_trial(document, TERMS)
    assert len(refused.value.problems) == 3


def test_what_was_changed_here_is_said_by_ctml() -> None:
    study, groups = stored(full())
    study |= {"status": "closed-to-accrual", "title": "Another title", "description": "Another text"}
    study["note"].append({"text": "No steroids."})
    study["arm"][1].pop("extension")
    (changed,) = (group for key, group in groups.items() if key.endswith("-s1a1"))
    changed["characteristic"] = [one for one in changed["characteristic"] if "valueQuantity" not in one]
    back = say_trial(study, groups.get, TERMS)
    arms = back["treatment_list"]["step"][0]["arm"]
    assert back["status"] == "closed to accrual"
    assert back["_summary"]["status"][0]["value"] == "closed to accrual"
    assert (back["long_title"], back["summary"]) == ("Another title", "Another text")
    assert back["prior_treatment_requirements"][-1] == "No steroids."
    assert arms[1]["arm_suspended"] == "N"
    (said,) = arms[0]["match"]
    assert said["and"][0] == {"clinical": {"oncotree_primary_diagnosis": "Non-Small Cell Lung Cancer"}}
    assert set(said["and"][1]) == {"or"}
    again, _ = stored(back)
    assert {k: v for k, v in again.items() if k != "extension"} == {k: v for k, v in study.items() if k != "extension"}


def test_what_ctml_cannot_say_is_refused_by_name() -> None:
    study, groups = stored(trial({"clinical": {"gender": "Male"}}))
    with pytest.raises(Unmapped, match=r"ResearchStudy\.focus"):
        say_trial({**study, "focus": [{"text": "Drug Y"}]}, groups.get, TERMS)
    with pytest.raises(Unmapped, match=r"ResearchStudy\.enrollment"):
        say_trial({**study, "enrollment": [{"reference": "Group/other"}]}, groups.get, TERMS)
    with pytest.raises(Unmapped, match="cannot be found"):
        say_trial(study, {}.get, TERMS)
    (group,) = groups.values()
    group["characteristic"].append(
        w.trait("hb", "718-7", valueQuantity={"value": 9, "comparator": ">=", "code": "g/dL"})
    )
    with pytest.raises(Unmapped, match=r"Group/ctml-99-001-s1a1\.criterion hb"):
        say_trial(study, groups.get, TERMS)


def test_a_study_that_never_was_ctml_is_said_as_far_as_it_can_be() -> None:
    eligibility = w.group(
        "g",
        w.trait("c1", "29308-4", valueCodeableConcept=w.concept((w.SNOMED, "254637007"))),
        w.trait("c2", "69548-6", valueCodeableConcept=w.concept((w.NCIT, "C126892"))),
        w.within("c3", "#or", exclude=True),
        contained=[
            w.group("or", w.trait("a", "69548-6", valueCodeableConcept=w.concept((w.HGVS, "EGFR:p.T790M"))),
                    w.trait("b", "89247-1", valueQuantity={"value": 1, "comparator": ">"}), method="any-of")
        ],
    )  # fmt: skip
    study = {**w.study("s", "g"), "status": "active"}
    document = say_trial(decode(encode(study)), {"Group/g": decode(encode(eligibility))}.get, TERMS)
    (arm,) = document["treatment_list"]["step"][0]["arm"]
    (clause,) = arm["match"]
    assert clause["and"][0] == {"clinical": {"oncotree_primary_diagnosis": "Non-Small Cell Lung Cancer"}}
    assert clause["and"][1]["genomic"]["exon"] == 19
    assert clause["and"][2] == {"and": [  # none of these: each its opposite
        {"genomic": {"hugo_symbol": "!EGFR", "variant_category": "Mutation", "protein_change": "p.T790M"}},
        {"clinical": {"ecog_expression": "<=1"}},
    ]}  # fmt: skip
    read_trial(document, TERMS)
    eligibility["modifierExtension"] = [{"url": w.METHOD, "valueCode": "at-least"}]
    with pytest.raises(Unmapped, match="at-least"):
        say_trial(study, {"Group/g": eligibility}.get, TERMS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"a": 1', "valid JSON"),
        ("a.json", '{"a": 1, "a": 2}', "same key twice"),
        ("a.yaml", "a: 1\nb: 2\na: 3\n", "the key a comes twice, in line 3"),
        ("a.yaml", "a: [1\n", "a.yaml"),
        ("a.yaml", "a: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
        ("a.json", "[]", "no document"),
        ("a.yml", "", "no document"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)


def test_a_file_may_hold_several_documents(tmp_path: Path) -> None:
    first, second = trial({"clinical": {"gender": "Male"}}), full()
    for name, content in (
        ("a.json", encode([first, second])),
        ("b.json", encode(first) + b"\n" + encode(second)),
        ("c.yaml", written(first, True) + b"---\n" + written(second, True)),
    ):
        (tmp_path / name).write_bytes(content)
        assert read(tmp_path / name) == [first, second]


def test_yaml_dates_stay_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("curated_on: 2018-10-26\narm_suspended: N\nshare: 0.10\n")
    (document,) = read(tmp_path / "a.yaml")
    assert (document["curated_on"], document["arm_suspended"], str(document["share"])) == ("2018-10-26", "N", "0.10")


def test_reading_changes_nothing_of_what_it_is_given() -> None:
    document = full()
    before = copy.deepcopy(document)
    resources = read_trial(document, TERMS)
    assert document == before
    assert {e["url"] for one in resources for e in one["extension"]} == {TRIAL, CLAUSE}
