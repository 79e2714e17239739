"""Invariants as functions say what fhirpathpy says, of right and of wrong resources. https://hl7.org/fhirpath/N1/"""

import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fhir_server.fhir.codec import decode
from fhir_server.fhir.data import data_path
from fhir_server.fhir.definitions import load
from fhir_server.validation import rules
from fhir_server.validation.compiled import answer, beside
from fhir_server.validation.invariants import MEANT, Place, _places, evaluate
from fhir_server.validation.problem import Scope
from tests.deep import deep
from tests.validation.guides import examples

EXAMPLES = data_path("profiles", "participation", "examples")
CHANGED = 4  # of each example: wrong ones made of it


def changed(resource: dict[str, Any], random: Random) -> Iterator[dict[str, Any]]:
    """The resource, and some that lack a property or have another text in one."""
    yield resource
    for _ in range(deep(CHANGED, 60)):
        copy = deepcopy(resource)
        held = [one for one in every(copy) if set(one) - {"resourceType"}]
        for _ in range(random.randint(1, 3)):
            one = random.choice(held)
            name = random.choice(sorted(set(one) - {"resourceType"}) or ["id"])
            if isinstance(one.get(name), str) and random.random() < 0.5:
                one[name] = random.choice(["active", "other", "research", "LA9633-4", "48018-6", "2020-01-01"])
            else:
                one.pop(name, None)
        yield copy


def every(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from every(inner)


def stated() -> dict[str, list[tuple[str, str]]]:
    """The invariants of R4 and of our profiles, by the path of their element."""
    found: dict[str, dict[str, str]] = {}
    for name, structure in load().structures.items():
        for rule in structure.invariants:
            found.setdefault(rule.path or name, {})[rule.key] = MEANT.get(rule.key, rule.expression)
    for path in data_path("profiles", "participation").glob("StructureDefinition-*.json"):
        for element in decode(path.read_bytes()).get("snapshot", {}).get("element", ()):
            for rule in element.get("constraint", ()):
                if "expression" in rule:
                    found.setdefault(element["path"], {})[rule["key"]] = rule["expression"]
    return {path: sorted(rules.items()) for path, rules in found.items()}


RULES = stated()


def compared(resource: dict[str, Any], seen: Counter[str]) -> Iterator[str]:
    """Where the two differ; `seen` counts answers by rule."""
    if beside(resource):
        return
    own = deepcopy(resource)
    for place in _places(own["resourceType"], own, own, own["resourceType"]):
        path = re.sub(r"\[\d+\]|\.ofType\(\w+\)", "", place.path)
        shared = RULES.get("DomainResource", []) if "." not in place.path else []
        for key, expression in dict([*shared, *RULES.get(place.structure, []), *RULES.get(path, [])]).items():
            found = answer(expression, place.structure, place.value, place.resource, own)
            if found is None:
                continue
            seen[f"{key} {found}"] += 1
            copy = deepcopy(own)
            (there,) = [one for one in _places(copy["resourceType"], copy, copy, copy["resourceType"])
                        if one.path == place.path]  # fmt: skip
            told = evaluate(expression, Place(there.path, there.structure, there.value, there.resource), copy)
            if told is not None and told is not found:
                yield f"{key} at {place.path}: {found} here, {told} there: {expression}"


def differences(resources: list[dict[str, Any]]) -> tuple[list[str], Counter[str]]:
    seen: Counter[str] = Counter()
    random = Random(3)
    wrong = [text for one in resources for made in changed(one, random) for text in compared(made, seen)]
    return wrong, seen


def test_shipped_examples_and_what_is_made_wrong_of_them() -> None:
    bare = decode((EXAMPLES / "genomic-variant.json").read_bytes())
    del bare["component"]
    other = decode((EXAMPLES / "tumour-condition.json").read_bytes())
    other["code"] = {"coding": [{"system": "urn:other", "code": "x"}]}
    wrong, seen = differences([*(decode(path.read_bytes()) for path in sorted(EXAMPLES.glob("*.json"))), bare, other])
    assert wrong == []
    assert {"gv-1 True", "gv-1 False", "tc-1 True", "tc-1 False", "pc-1 True", "pc-1 False", "obs-6 True"} <= set(seen)
    assert seen.total() > 500


def test_published_examples_and_what_is_made_wrong_of_them(shared: Path) -> None:
    found = examples(shared, "genomics-reporting-stu3", "mcode-stu4", "r4-core-examples")
    wrong, seen = differences([found[name] for name in sorted(found)][:: deep(9, 1)])
    assert wrong == []
    assert seen.total() > 1000


def test_common_invariants_are_functions() -> None:
    """Those of R4 that a genomic report meets, and those of our profiles that say what codes a thing must have."""
    observation: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    for key in ("obs-6", "gv-1"):
        expression = dict(RULES["Observation"])[key]
        assert answer(expression, "Observation", observation, observation, observation) is True
    assert answer(dict(RULES["Extension"])["ext-1"], "Extension", {"url": "u"}, observation, observation) is False


@pytest.mark.parametrize(
    "expression",
    ["code.text.matches('x')", "status.hasValue()", "getResourceKey().exists()", "%rowIndex.exists()", "code ~ code",
     "code.coding[0].exists()", "status + 'x' = 'finalx'", "text.`div`.htmlChecks()", "not FHIRPath (", "code.text",
     "component.code = component.code and ("],
)  # fmt: skip
def test_what_is_not_surely_the_same_is_left_to_fhirpathpy(expression: str) -> None:
    resource = {"resourceType": "Observation", "status": "final", "code": {"text": "x", "coding": [{"code": "c"}]}}
    assert answer(expression, "Observation", resource, resource, resource) is None


@pytest.mark.parametrize("told", [{}, {"valueString": "x"}, {"extension": [{}]}, {"valueCode": "x", "extension": [{}]}])
def test_the_structure_holds_ext_1_as_fhirpathpy_says_it(told: dict[str, Any]) -> None:
    value = {"url": "urn:x", **told}
    place = Place("Extension", "Extension", deepcopy(value), {"resourceType": "Patient"})
    says = evaluate(dict(RULES["Extension"])["ext-1"], place, {"resourceType": "Patient"})
    assert says is (rules.extension(value, Scope({}, 0)) is None)


@pytest.mark.parametrize(
    "told", [{}, {"contained": [{}]}, {"meta": {"versionId": "1"}}, {"meta": {"lastUpdated": "2026-01-01T00:00:00Z"}},
             {"meta": {"security": [{"code": "R"}]}}, {"meta": {"tag": [{"code": "R"}]}}],
)  # fmt: skip
def test_the_structure_holds_dom_2_4_and_5_as_fhirpathpy_says_them(told: dict[str, Any]) -> None:
    inner = {"resourceType": "Patient", **told}
    whole = {"resourceType": "Patient", "contained": [inner]}
    says = [
        evaluate(expression, Place("Patient", "Patient", deepcopy(whole), deepcopy(whole)), deepcopy(whole))
        for key, expression in RULES["DomainResource"]
        if key in ("dom-2", "dom-4", "dom-5")
    ]
    assert len(says) == 3
    assert all(says) is (rules.contained(inner, Scope(whole, 0)) is None)


def test_extensions_beside_a_value_are_seen() -> None:
    assert beside({"a": [{"b": {"_c": {"extension": []}}}]})
    assert not beside({"a": [{"b": {"c_": "_d"}}, "_e"]})


TYPED: dict[str, Any] = {
    "resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}, "valueQuantity": {"value": 1},
    "contained": [{"resourceType": "Binary", "contentType": "a/b"}, {"resourceType": "Patient", "active": True}],
    "component": [{"code": {"text": "x"}, "valueString": "q"}], "issued": "2020-01-01T00:00:00Z",
    "extension": [
        {"url": "urn:x", **value}
        for value in ({"valueCode": "c"}, {"valueUrl": "c"}, {"valuePositiveInt": 3}, {"valueAge": {"value": 3}},
                      {"valueQuantity": {"value": 3}}, {"valueString": "c"}, {"valueBoolean": True},
                      {"valueDosage": {"text": "x"}}, {"valueInteger": 3})
    ],
}  # fmt: skip
ONSET = {"resourceType": "Condition", "subject": {"reference": "Patient/p"}, "onsetAge": {"value": 3}}
TYPES = (
    "Element", "BackboneElement", "Resource", "DomainResource", "Quantity", "Age", "string", "code", "uri", "integer",
    "boolean", "Boolean", "instant", "id", "CodeableConcept", "Observation", "observation", "Patient", "Binary",
    "System.String", "System.Boolean", "FHIR.code", "FHIR.Quantity",
)  # fmt: skip
ASKED = ("$this", "id", "status", "code", "issued", "component", "component.value", "contained", "contained[1]",
         "value", "status.exists()", "true", "'x'")  # fmt: skip


def test_types_are_those_of_fhirpathpy() -> None:
    """What is a kind of another is left to it, and so is what may be of any type."""
    places = [("Observation", TYPED, TYPED), *(("Extension", one, TYPED) for one in TYPED["extension"])]
    places.append(("Condition", ONSET, ONSET))
    seen: Counter[bool | None] = Counter()
    for type in TYPES:
        for structure, value, whole in places:
            of = {"Observation": ASKED, "Extension": ("value",), "Condition": ("onset",)}[structure]
            forms = ("{} is {}", "({} as {}).exists()", "{}.ofType({}).exists()", "{}.all($this is {})")
            for expression in (form.format(one, type) for one in of for form in forms):
                found = answer(expression, structure, value, whole, whole)
                seen[found] += 1
                if found is not None:
                    own = deepcopy(whole)
                    told = evaluate(expression, Place(structure, structure, deepcopy(value), own), own)
                    assert told in (found, None), expression
    assert seen[True] > 20
    assert seen[False] > 100
    observed = {"resource": TYPED, "whole": TYPED, "value": TYPED}
    assert answer("value is CodeableConcept", "Observation", **observed) is False
    assert answer("contained.ofType(Patient).exists()", "Observation", **observed) is True


@pytest.mark.parametrize("type", ["Quantity", "Element", "DomainResource", "System.String", "FHIR.code", "Boolean"])
def test_a_type_of_which_others_are_kinds_is_left_to_fhirpathpy(type: str) -> None:
    for form in ("status is {}", "(status as {}).exists()", "code.ofType({}).exists()"):
        assert answer(form.format(type), "Observation", TYPED, TYPED, TYPED) is None
