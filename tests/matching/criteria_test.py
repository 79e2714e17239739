"""Criteria that are not understood become unknown, and what may mean something else refuses the study."""

import itertools
from typing import Any

import pytest

from fhir_server.matching.criteria import Study, compile_study
from fhir_server.matching.evaluate import evaluate_study, fails
from fhir_server.matching.finding import Outcome, at_least, negate
from tests.matching import world as w
from tests.matching.evaluate_test import NOW, TERMS, facts, read, years

VALUES: tuple[Outcome, ...] = ("met", "not-met", "unknown")
RANK = {"not-met": 0, "unknown": 1, "met": 2}
ADULT, CHILD = {**years(18, ">="), "id": "adult"}, {**years(18, "<"), "id": "child"}
NO_DATA = {**w.trait("ecog", "89247-1"), "valueQuantity": {"value": 1, "comparator": "<="}}


@pytest.mark.parametrize(("a", "b"), list(itertools.product(VALUES, VALUES)))
def test_and_or_not_are_kleene(a: Outcome, b: Outcome) -> None:
    assert RANK[at_least(2, [a, b])] == min(RANK[a], RANK[b])
    assert RANK[at_least(1, [a, b])] == max(RANK[a], RANK[b])
    assert RANK[negate(a)] == 2 - RANK[a]


@pytest.mark.parametrize("needed", range(5))
@pytest.mark.parametrize("values", list(itertools.combinations_with_replacement(VALUES, 3)))
def test_at_least_agrees_with_every_way_to_settle_the_unknowns(needed: int, values: tuple[Outcome, ...]) -> None:
    ways = itertools.product(*[("met", "not-met") if value == "unknown" else (value,) for value in values])
    answers = {sum(value == "met" for value in way) >= needed for way in ways}
    expected = "unknown" if len(answers) == 2 else "met" if answers == {True} else "not-met"
    assert at_least(needed, values) == expected


def outcome(study: Study) -> Outcome:
    found = evaluate_study(study, facts(), TERMS, NOW)[0]
    assert fails(study, facts(), TERMS, NOW) == (found == "not-met")  # the short way agrees with the long one
    return found


@pytest.mark.parametrize(
    ("method", "exclude", "traits", "expected"),
    [
        ("all-of", False, (ADULT, CHILD), "not-met"),
        ("all-of", False, (ADULT, NO_DATA), "unknown"),
        ("all-of", False, (CHILD, NO_DATA), "not-met"),
        ("any-of", False, (ADULT, CHILD), "met"),
        ("any-of", False, (CHILD, NO_DATA), "unknown"),
        ("any-of", True, (ADULT, CHILD), "not-met"),
        ("any-of", True, (CHILD, CHILD), "met"),
        (None, False, (ADULT, ADULT), "met"),
    ],
)
def test_groups_within_groups(method: str | None, exclude: bool, traits: tuple[w.Resource, ...], expected: str) -> None:
    inner = w.group("inner", *traits, method=method)
    held = w.group("s-eligibility", w.within("g", "#inner", exclude), contained=[inner])
    apart = w.group("s-eligibility", w.within("g", "Group/inner", exclude))
    for study in (read(w.study(), held), read(w.study(), apart, inner)):
        assert not study.problems
        assert outcome(study) == expected


def test_at_least_n_of_a_group() -> None:
    threshold = {"url": f"{w.OWN}/StructureDefinition/group-combination-threshold", "valuePositiveInt": 2}
    for traits, expected in (
        ((ADULT, ADULT, CHILD), "met"),
        ((ADULT, CHILD, NO_DATA), "unknown"),
        ((ADULT, CHILD, CHILD), "not-met"),
    ):
        group = w.group("s-eligibility", *traits, method="at-least")
        group["modifierExtension"].append(threshold)
        study = read(w.study(), group)
        assert not study.problems
        assert outcome(study) == expected


@pytest.mark.parametrize(
    ("trait", "words"),
    [
        (w.trait("x", "99999-9"), "not known"),
        ({"id": "x", "code": {"text": "Must be brave"}, "valueBoolean": True, "exclude": False}, "Must be brave"),
        (w.trait("x", "30525-0", valueQuantity={"value": 18, "code": "parsec"}), "age"),
        (w.trait("x", "30525-0", valueQuantity={"value": 10**30, "code": "a"}), "beyond"),
        (w.trait("x", "29308-4", valueBoolean=True), "diagnosis"),
        (w.trait("x", "69548-6", valueCodeableConcept=w.concept((w.HGVS, "p.V600E"))), "no known gene"),
        (w.trait("x", "69548-6", valueCodeableConcept=w.concept((w.HGVS, "V600 any"))), "HGVS"),
        (w.trait("x", "94076-7", valueQuantity={"value": 10, "code": "%"}), "1/1000000"),
        (w.within("x", "#nowhere"), "cannot be found"),
        (w.within("x", "Group/nowhere"), "cannot be found"),
        ({**ADULT, "id": "x", "period": {"start": "2020"}}, "period"),
    ],
)
def test_what_is_not_understood_is_unknown_and_named(trait: w.Resource, words: str) -> None:
    study = read(w.study(), w.group("s-eligibility", ADULT, trait))
    assert not study.refused
    (problem,) = study.problems
    assert words in problem.text
    assert problem.where.endswith(" x")
    assert outcome(study) == "unknown"


def test_groups_that_refer_to_each_other_end_as_unknown() -> None:
    first = w.group("s-eligibility", w.within("a", "Group/second"))
    second = w.group("second", w.within("b", "Group/s-eligibility"))
    study = read(w.study(), first, second)
    assert "itself" in study.problems[0].text
    assert not study.open
    own = w.group("s-eligibility", w.within("a", "#loop"), contained=[w.group("loop", w.within("b", "#loop"))])
    assert not read(w.study(), own).open
    beside = w.group(
        "s-eligibility", ADULT, w.within("a", "#loop"), contained=[w.group("loop", w.within("b", "#loop"))]
    )
    assert outcome(read(w.study(), beside)) == "unknown"


UNKNOWN = [{"url": "https://example.org/only-on-sundays", "valueBoolean": True}]


@pytest.mark.parametrize(
    "group",
    [
        w.group("s-eligibility", ADULT, modifierExtension=UNKNOWN),
        w.group("s-eligibility", {**ADULT, "modifierExtension": UNKNOWN}),
        w.group("s-eligibility", w.within("g", "#in"), contained=[w.group("in", ADULT, modifierExtension=UNKNOWN)]),
        w.group("s-eligibility", ADULT, method="best-of"),
        w.group("s-eligibility", ADULT, method="at-least"),
        w.group("s-eligibility", ADULT, type="animal"),
    ],
)
def test_a_meaning_that_may_be_another_refuses_the_study(group: w.Resource) -> None:
    study = read(w.study(), group)
    assert study.refused
    assert not study.open
    assert study.problems


def test_a_study_with_an_unknown_modifier_is_refused() -> None:
    assert read(w.study(modifierExtension=UNKNOWN), w.group("s-eligibility", ADULT)).refused


@pytest.mark.parametrize(
    ("study", "groups"),
    [
        ({"resourceType": "ResearchStudy", "id": "s", "status": "active"}, ()),
        (w.study(), ()),
        (w.study(), (w.group("s-eligibility"),)),
        (w.study(), (w.group("s-eligibility", ADULT, active=False),)),
        (w.study(status="closed-to-accrual"), (w.group("s-eligibility", ADULT),)),
    ],
)
def test_without_open_criteria_a_study_is_not_open(study: w.Resource, groups: tuple[w.Resource, ...]) -> None:
    assert not read(study, *groups).open


def test_arms_are_alternatives_and_closed_arms_are_left_out() -> None:
    closed = [{"url": f"{w.OWN}/StructureDefinition/arm-status", "valueCode": "closed"}]
    young, old = w.group("young", CHILD, name="A"), w.group("old", ADULT, name="B")
    arms: list[dict[str, Any]] = [{"name": "A"}, {"name": "B"}]
    study = read(w.study("s", "young", "old", arm=arms), young, old)
    assert [alternative.arm for alternative in study.alternatives] == ["A", "B"]
    assert outcome(study) == "met"
    arms[1]["extension"] = closed
    assert outcome(read(w.study("s", "young", "old", arm=arms), young, old)) == "not-met"


def test_criteria_without_an_id_are_numbered() -> None:
    plain = {key: value for key, value in ADULT.items() if key != "id"}
    nested = {key: value for key, value in w.within("g", "#in").items() if key != "id"}
    group = w.group("s-eligibility", plain, nested, contained=[w.group("in", plain, plain)])
    _, (result,) = evaluate_study(read(w.study(), group), facts(), TERMS, NOW)
    assert [judged.node.id for judged in result.criteria] == ["1", "2", "2.1", "2.2"]
    assert [judged.depth for judged in result.criteria] == [0, 0, 1, 1]


def test_a_reference_to_nothing_at_all_is_a_problem_not_a_crash() -> None:
    study = compile_study(
        {"resourceType": "ResearchStudy", "id": "s", "status": "active", "enrollment": [{"display": "all"}]},
        1,
        {}.get,
        TERMS,
    )
    assert study.problems
    assert not study.open
