"""A Group may say by a FHIRPath expression whom it takes: bounded, and unknown where it does not answer."""

import time
from typing import Any

import pytest

from fhir_server.access.statements import FOREVER
from fhir_server.fhir.codec import decode, encode
from fhir_server.matching.criteria import Study
from fhir_server.matching.due import due, time_bound
from fhir_server.matching.evaluate import evaluate_study
from fhir_server.matching.expression import BRACKETS, LONGEST, URL
from fhir_server.matching.people import Person
from fhir_server.matching.permission import NO_STUDY, Permission
from fhir_server.matching.population import population
from tests.client import Client, client, refusal
from tests.matching import world as w
from tests.matching.evaluate_test import NOW, TERMS, facts, read, years

__all__ = ["client"]

DAY = 86_400_000_000
RACE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"


def said(expression: str, language: str = "text/fhirpath", **more: Any) -> w.Resource:
    return {"url": URL, "valueExpression": {"language": language, "expression": expression, **more}}


def group(id: str, expression: str, **more: Any) -> w.Resource:
    return w.group(id, extension=[said(expression)], **more)


def sibling(expression: str) -> Study:
    return read(w.study(), group("s-eligibility", expression))


def outcome(expression: str, now: int = NOW, **patient: Any) -> str:
    study = sibling(expression)
    assert not study.problems, study.problems
    return evaluate_study(study, facts(patient=w.patient(**patient)), TERMS, now)[0]


@pytest.mark.parametrize(
    ("expression", "patient", "expected"),
    [
        ("gender = 'female'", {"gender": "female"}, "met"),
        ("Patient.gender = 'female'", {"gender": "male"}, "not-met"),
        ("%context.gender = 'female'", {"gender": "female"}, "met"),
        ("gender = 'female'", {}, "unknown"),  # empty: FHIRPath's unknown
        ("gender.exists() and gender = 'female'", {}, "not-met"),
        ("birthDate <= today() - 18 years", {"birth": "2008-06-01"}, "met"),
        ("birthDate <= today() - 18 years", {"birth": "2008-06-02"}, "not-met"),
        ("birthDate <= today() - 18 years", {"birth": "2008"}, "unknown"),
        ("birthDate <= today() - 18 years", {"birth": None}, "unknown"),
        ("address.where(country = 'US').exists()", {"address": [{"country": "US"}]}, "met"),
        ("address.where(country = 'US').exists()", {"address": [{"country": "NL"}]}, "not-met"),
        ("deceased = false", {"deceasedBoolean": False}, "met"),
        ("gender", {"gender": "female"}, "unknown"),  # no boolean
        ("address.country = 'US'", {"address": [{"country": "US"}, {"country": "NL"}]}, "not-met"),
        ("gender / 2 = 1", {"gender": "female"}, "unknown"),  # an error
        ("address.single().country = 'US'", {"address": [{"country": "US"}, {"country": "US"}]}, "unknown"),
        ("true", {}, "met"),
    ],
)
def test_an_expression(expression: str, patient: dict[str, Any], expected: str) -> None:
    assert outcome(expression, **patient) == expected


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("gender =", "no FHIRPath"),
        ("", "no expression"),
        ("1.repeat($this + 1).exists()", "repeat()"),
        ("`repeat`(1)", "repeat()"),
        ("resolve().exists()", "resolve()"),
        ("gender.matches('(a+)+b')", "matches()"),
        ("managingOrganization.reference.trace('x') = ''", "trace()"),
        ("address.select(line).exists()", "select()"),
        ("2.power(999999).exists()", "power()"),
        ("%secret = 1", "%secret"),
        ("address.where(line.where($this = 'x').exists()).exists()", "within each other"),
        ("true or gender = 'x' ) or (true", "no FHIRPath"),
        ("gender = 'x' and " * 30 + "true", str(LONGEST)),
        ("(" + "|".join("123456789012") + ").exists()", "unions"),
        ("(" * (BRACKETS + 1) + "true" + ")" * (BRACKETS + 1), str(BRACKETS)),
    ],
)
def test_what_is_not_taken(expression: str, why: str) -> None:
    study = sibling(expression)
    (problem, *_) = study.problems
    assert why in problem.text
    assert problem.path == "Group.extension[0]"
    assert not study.open


def test_other_languages_are_refused_with_the_path(client: Client) -> None:
    cql = w.group("g", extension=[said("Adults", "text/cql-identifier")])
    assert client("PUT", "Group/g", cql).status_code == 201  # nobody enrolls by it yet
    answer = client("PUT", "ResearchStudy/s", w.study("s", "g"))
    assert answer.status_code == 422
    assert "text/fhirpath" in refusal(answer)["diagnostics"]
    assert refusal(answer)["expression"] == ["Group.extension[0]"]


def test_it_stands_alone() -> None:
    both = w.group("s-eligibility", years(18, ">="), extension=[said("true")])
    assert read(w.study(), both).refused
    twice = group("s-eligibility", "true")
    twice["extension"] *= 2
    assert read(w.study(), twice).refused


@pytest.mark.parametrize("exclude", [False, True])
def test_a_group_of_criteria_may_hold_one(exclude: bool) -> None:
    women = group("women", "gender = 'female'")
    held = w.group("s-eligibility", years(18, ">="), w.within("sex", "#women", exclude), contained=[women])
    apart = w.group("s-eligibility", years(18, ">="), w.within("sex", "Group/women", exclude))
    for study in (read(w.study(), held), read(w.study(), apart, women)):
        assert not study.problems
        for gender in ("female", "male"):
            found, (result,) = evaluate_study(study, facts(patient=w.patient(gender=gender)), TERMS, NOW)
            assert found == ("met" if (gender == "female") != exclude else "not-met")
            assert [judged.node.id for judged in result.criteria][1:] == ["sex", "sex.1"]


def test_siblings_are_alternatives() -> None:
    study = w.study("s", "women")
    study["enrollment"].append({"reference": "Group/old"})
    compiled = read(study, group("women", "gender = 'female'"), group("old", "birthDate <= @1950-01-01"))
    assert evaluate_study(compiled, facts(patient=w.patient(gender="male", birth="1940-01-01")), TERMS, NOW)[0] == "met"
    young = w.patient(gender="male", birth="1990-01-01")
    assert evaluate_study(compiled, facts(patient=young), TERMS, NOW)[0] == "not-met"


def test_what_must_not_enter_a_match_is_not_seen() -> None:
    race = [{"url": RACE, "extension": [{"url": "text", "valueString": "x"}]}]
    patient = {
        "gender": "female",
        "_gender": {"extension": race},
        "extension": race,
        "communication": [{"language": {"text": "Dutch"}}],
        "name": [{"family": "A"}],
        "language": "nl",
        "address": [{"country": "US", "extension": race}],
    }
    for hidden in ("extension", "communication", "name", "language", "address.extension", "gender.extension"):
        assert outcome(f"{hidden}.exists()", **patient) == "not-met", hidden


def test_the_clock_is_that_of_the_match_and_each_day_is_a_new_one() -> None:
    expression = "birthDate <= today() - 18 years"
    assert outcome(expression, NOW, birth="2008-06-02") == "not-met"
    assert outcome(expression, NOW + DAY, birth="2008-06-02") == "met"
    assert outcome("now() >= @2026-06-02T00:00:00Z", NOW + DAY) == "met"
    permitted = Permission((), True, frozenset(), FOREVER, {})
    person = Person("p", ("p",), permitted, None, False, {NO_STUDY: facts()})
    assert due(person, time_bound([sibling(expression)]), NOW) == {NOW // DAY * DAY + DAY}
    assert due(person, time_bound([sibling("gender = 'male'")]), NOW) == set()


def test_sets_of_patients_agree() -> None:
    people = [facts(patient=w.patient(id=str(n), gender=gender, birth=birth)) for n, (gender, birth) in
              enumerate((g, b) for g in ("male", "female", "other") for b in ("2000-01-01", "2015", None))]  # fmt: skip
    for expression in ("gender = 'male'", "birthDate < @2010", "birthDate <= today() - 11 years"):
        study = sibling(expression)
        everyone = population(people, TERMS, NOW)
        sets = everyone.of_study(study)
        for number, person in enumerate(people):
            assert everyone.outcome(sets, number) == evaluate_study(study, person, TERMS, NOW)[0]


def test_the_worst_that_is_taken_ends_soon() -> None:
    inner = " and ".join(f"line.count() + {n} > 0" for n in range(9))
    hard = f"address.where({inner}).count() + (1|2|3|4|5|6|7|8|9|10).where($this > 0).count() > 9"
    deep = "(" * 30 + "true" + ")" * 30
    homes = [{"line": ["x"] * 10}] * 10
    for expression in (hard, deep, "gender.empty().not()" + ".not()" * 27, "1" + "+1" * 140 + " > 1"):
        assert len(expression) <= LONGEST
        began = time.process_time()
        assert outcome(expression, address=homes) == "met"
        assert time.process_time() - began < 5, "seconds: a bound, not a target"
    assert outcome("true", address=[*homes, {}]) == "unknown", "longer lists are not gone through"


def test_one_is_matched_over_http(client: Client) -> None:
    client("PUT", "Group/g", decode(encode(group("g", "gender = 'female' and birthDate <= today() - 18 years"))))
    assert client("PUT", "ResearchStudy/s", {**w.study("s", "g"), "status": "active"}).status_code == 201
    for id, gender in (("her", "female"), ("him", "male")):
        client("PUT", f"Patient/{id}", w.patient(id, gender=gender))
        client("PUT", f"Consent/{id}", w.consent(id, of=id))
        answer = client("GET", f"Patient/{id}/$match-trials?study=s&status=all").json()
        guidance = next(e["resource"] for e in answer["entry"] if e["resource"]["resourceType"] == "GuidanceResponse")
        overall, criterion = guidance["contained"][0]["parameter"]
        assert overall["valueCode"] == ("match" if id == "her" else "no-match")
        parts = {part["name"]: part for part in criterion["part"]}
        assert parts["evidence"]["valueReference"]["reference"] == f"Patient/{id}/_history/1"
