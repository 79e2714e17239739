"""Criteria that hardly say what was meant are pointed out, and those that may well are left alone."""

from random import Random
from typing import Any

import pytest

from fhir_server.matching.criteria import leaves
from fhir_server.matching.evaluate import evaluate_study
from fhir_server.matching.lint import lint
from tests.client import Client, client
from tests.deep import deep
from tests.matching import world as w
from tests.matching.evaluate_test import EGFR, NOW, TERMS, diagnosis, facts, needs, read, years
from tests.matching.kinds_test import NEGATIVE, POSITIVE, own, within
from tests.matching.population_test import record

__all__ = ["client"]

KRAS = "HGNC:6407"


def named(id: str, trait: w.Resource, **more: Any) -> w.Resource:
    return {**trait, "id": id, **more}


def age(id: str, value: int, comparator: str, unit: str = "a") -> w.Resource:
    return named(id, w.trait(id, "30525-0", valueQuantity={"value": value, "comparator": comparator, "code": unit}))


def result(id: str, code: str, value: float, comparator: str, unit: str, **more: Any) -> w.Resource:
    return w.trait(id, code, valueQuantity={"value": value, "comparator": comparator, "code": unit}, **more)


def receptor(id: str, answer: tuple[str, str], exclude: bool = False) -> w.Resource:
    return w.trait(id, "16112-5", valueCodeableConcept=w.concept(answer), exclude=exclude)


def stage(id: str, text: str) -> w.Resource:
    return w.trait(id, "21908-9", valueCodeableConcept={"text": text})


def sex(id: str, code: str) -> w.Resource:
    return w.trait(id, "46098-0", valueCodeableConcept=w.concept(("http://hl7.org/fhir/administrative-gender", code)))


def drug(id: str, *codings: tuple[str, str], exclude: bool = False) -> w.Resource:
    return w.trait(id, "10160-0", valueCodeableConcept=w.concept(*codings), exclude=exclude)


GENE, CHANGE = (w.HGNC, EGFR), (w.HGVS, "NP_005219.2:p.Leu858Arg")
MUTANT, ANY = named("a", needs(CHANGE)), named("b", needs(GENE, exclude=True))
LUAD, NSCLC = diagnosis((w.ONCOTREE, "LUAD")), diagnosis((w.ONCOTREE, "NSCLC"))
CLASSES = f"{w.OWN}/CodeSystem/drug-class"


def told(*traits: w.Resource, method: str | None = None, **more: Any) -> list[str]:
    study = read(w.study(), w.group("s-eligibility", *traits, method=method, **more))
    assert not [problem for problem in study.problems if problem.path], "it is all evaluable"
    return [one.text for one in lint(study, TERMS)]


@pytest.mark.parametrize(
    "pair",
    [
        (age("a", 18, ">="), age("b", 18, "<")),
        (age("a", 12, ">"), age("b", 156, "<", "mo")),
        (age("a", 18, ">="), named("b", age("b", 12, ">="), exclude=True)),
        (sex("a", "male"), sex("b", "female")),
        (MUTANT, ANY),
        (MUTANT, named("b", MUTANT, exclude=True)),
        (named("a", LUAD), named("b", NSCLC, exclude=True)),
        (stage("a", "III"), stage("b", "IV")),
        (stage("a", "IIIA"), stage("b", "IIIB")),
        (result("a", "718-7", 9, ">=", "g/dL"), result("b", "718-7", 80, "<", "g/L")),
        (result("a", "94076-7", 10, ">=", "1/1000000{Base}"), named("b", w.trait("b", "94076-7",
            valueQuantity={"value": 5, "comparator": ">=", "code": "1/1000000{Base}"}), exclude=True)),
        (receptor("a", POSITIVE), receptor("b", NEGATIVE)),
        (drug("a", w.OSIMERTINIB), drug("b", (CLASSES, "egfr-inhibitor"), exclude=True)),
        (named("a", own("brain-metastases", valueBoolean=True)),
         named("b", own("metastatic", valueBoolean=True), exclude=True)),
    ],
)  # fmt: skip
def test_two_criteria_that_nobody_can_meet_at_once(pair: tuple[w.Resource, w.Resource]) -> None:
    for both in (pair, pair[::-1]):
        (text,) = told(*both)
        assert text.startswith("The Group can be met by nobody: ")
        assert told(*both, method="any-of") == [], "one of them is enough"
        inner = w.group("inner", *both)
        (text,) = told(age("c", 1, ">="), w.within("g", "#inner"), method="any-of", contained=[inner])
        assert "can never be met" in text


@pytest.mark.parametrize(
    "pair",
    [
        (age("a", 17, ">"), age("b", 19, "<")),
        (age("a", 12, ">="), age("b", 150, "<", "mo")),
        (age("a", 18, ">="), age("b", 3, "<", "wk")),
        (named("a", NSCLC), named("b", LUAD, exclude=True)),
        (MUTANT, named("b", needs((w.HGVS, "NP_005219.2:p.Thr790Met"), exclude=True))),
        (named("a", needs(GENE)), named("b", needs(CHANGE, exclude=True))),
        (stage("a", "III"), stage("b", "IIIB")),
        (result("a", "718-7", 9, ">=", "g/dL"), result("b", "718-7", 95, "<", "g/L")),
        (result("a", "718-7", 9, ">=", "g/dL"), result("b", "718-7", 1, "<", "mmol/L")),
        (result("a", "718-7", 9, ">=", "g/dL"), result("b", "6690-2", 1, "<", "g/dL")),
        (drug("a", (CLASSES, "egfr-inhibitor")), drug("b", w.OSIMERTINIB, exclude=True)),
        (drug("a", w.OSIMERTINIB), within(drug("b", w.OSIMERTINIB, exclude=True),
            f"{w.OWN}/StructureDefinition/criterion-washout", 28, "d")),
        (MUTANT, within(named("b", MUTANT, exclude=True), f"{w.OWN}/StructureDefinition/criterion-max-age", 28, "d")),
    ],
)  # fmt: skip
def test_criteria_that_somebody_may_meet_at_once(pair: tuple[w.Resource, w.Resource]) -> None:
    assert told(*pair) == []


def test_an_or_of_negations() -> None:
    kras, egfr = named("k", needs((w.HGNC, KRAS), exclude=True)), named("e", needs(GENE, exclude=True))
    (text,) = told(kras, egfr, method="any-of")
    assert "k or e" in text
    assert told(kras, egfr) == []
    assert told(kras, age("a", 18, ">="), method="any-of") == [], "one exclusion may well be an alternative"


def test_two_different_tumours_at_once() -> None:
    breast = named("b", diagnosis((w.ONCOTREE, "IDC")))
    assert told(named("a", LUAD), breast) == ["a and b ask for two different tumours at once."]
    assert told(named("a", LUAD), breast, method="any-of") == []


@pytest.mark.parametrize(
    ("trait", "name"),
    [
        (diagnosis((w.ONCOTREE, "NOSUCH")), "NOSUCH"),
        (diagnosis((w.SNOMED, "111")), "111"),
        (needs((w.HGNC, "NOSUCHGENE")), "NOSUCHGENE"),
        (needs((f"{w.OWN}/CodeSystem/variant-group", "nosuch")), "nosuch"),
        (drug("d", (CLASSES, "nosuch")), "nosuch"),
    ],
)
def test_names_that_nobody_knows(trait: w.Resource, name: str) -> None:
    texts = told(trait)
    assert texts
    assert all(name in text for text in texts)
    assert told(diagnosis(("http://hl7.org/fhir/sid/icd-10-cm", "C34.9"), (w.SNOMED, "254637007"))) == []


def test_the_worked_example_and_the_shipped_trials_are_left_alone() -> None:
    study, eligibility = w.worked_example()
    assert lint(read(study, eligibility), TERMS) == []


def test_whom_the_lint_says_nobody_can_meet_nobody_meets() -> None:
    """Random arms against random patients: where somebody meets an arm, it is not said to be impossible."""
    random = Random(5)
    people = [record(random, number) for number in range(deep(60, 600))]
    pool = [MUTANT, ANY, age("c", 18, ">="), age("d", 40, "<"), named("e", NSCLC), named("f", LUAD, exclude=True),
            named("g", diagnosis((w.ONCOTREE, "IDC"))), receptor("h", POSITIVE), receptor("i", POSITIVE, True),
            w.trait("j", "89247-1", valueQuantity={"value": 1, "comparator": "<="}),
            w.trait("k", "89247-1", valueQuantity={"value": 2, "comparator": ">="}),
            named("l", needs((w.HGNC, "HGNC:1097")))]  # fmt: skip
    known = [facts(*made, patient=patient) for patient, made in people]
    impossible = met = 0
    for _ in range(deep(80, 2000)):
        inner = w.group("inner", *random.sample(pool, 3), method=random.choice(("any-of", None)))
        traits = [*random.sample(pool, random.randint(1, 3)), w.within("g", "#inner", random.random() < 0.2)]
        study = read(w.study(), w.group("s-eligibility", *traits, contained=[inner]))
        none = any("by nobody" in one.text for one in lint(study, TERMS))
        somebody = any(evaluate_study(study, person, TERMS, NOW)[0] == "met" for person in known)
        assert not (none and somebody), [leaf.id for way in study.alternatives for leaf in leaves(way.root)]
        impossible, met = impossible + none, met + somebody
    assert min(impossible, met) > 5


def test_many_alternatives_are_not_looked_into() -> None:
    groups = [w.group(f"g{n}", *(age(f"{n}-{m}", m, ">=") for m in range(10)), method="any-of") for n in range(5)]
    inner = [w.within(f"w{n}", f"#g{n}") for n in range(5)]
    assert told(*inner, contained=groups) == []
    (text,) = told(*inner, sex("a", "male"), sex("b", "female"), contained=groups)
    assert "by nobody" in text


def warnings(client: Client, method: str, url: str, body: w.Resource | None = None) -> list[tuple[str, str]]:
    answer = client(method, url, body) if body else client(method, url)
    assert answer.status_code == 200, answer.text
    issues = answer.json()["issue"]
    ours = ("business-rule", "not-supported")
    told_of = [one for one in issues if one["severity"] == "warning" and one["code"] in ours]
    return [(one.get("expression", [""])[0], one["diagnostics"]) for one in told_of]


def test_a_person_is_told_by_validate_and_the_write_is_not_refused(client: Client) -> None:
    inner = w.group("either", named("k", needs((w.HGNC, KRAS), exclude=True)), ANY, method="any-of")
    group = w.group("g", years(18, ">="), w.within("or", "#either"), contained=[inner])
    (found,) = warnings(client, "POST", "Group/$validate", group)
    assert found[0] == "Group.contained[0].characteristic[0]"
    assert "exclusions (k or b)" in found[1]
    assert client("PUT", "Group/g", group).status_code == 201
    assert client("PUT", "ResearchStudy/s", w.study("s", "g")).status_code == 201
    assert warnings(client, "GET", "ResearchStudy/s/$validate") == [found]
    assert warnings(client, "GET", "Group/g/$validate") == [found]


def test_validate_says_why_a_group_would_be_refused(client: Client) -> None:
    odd = w.group("g", w.trait("odd", "0-0", valueBoolean=True), years(18, ">="))
    ((path, text),) = warnings(client, "POST", "Group/$validate", odd)
    assert path == "Group.characteristic[0]"
    assert "Group/g odd" in text
    assert warnings(client, "POST", "Group/$validate", {**w.group("g", years(18, ">=")), "actual": True}) == []
