"""The compiled expressions against fhirpathpy: both must find the same values. http://hl7.org/fhirpath/N1/"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_server.fhir.codec import decode
from fhir_server.fhir.paths import Key, Refers, evaluator, routes
from fhir_server.search.aliases import Alias, aliases
from fhir_server.search.find import evaluated, finder
from tests.search.ask import BASE, DEFINITIONS, INDEX

# What fhirpathpy has its own answer to:
# - `resolve()` needs a server: those parameters are not compared;
# - a root `Resource` matches nothing: it is given the type's own name;
# - `a.b as T` with several b is an error ("Expected singleton on left side of 'as'"), yet R4 writes its parameters so:
#   where there are several, it finds nothing and we find all.
CAST = re.compile(r"\(([\w.]+) as \w+\)")


SMALL: tuple[dict[str, Any], ...] = (
    {
        "resourceType": "Patient",
        "deceasedBoolean": True,
        "name": [{"family": "A", "given": ["B", "C"]}, {"text": "D"}],
        "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}],
        "link": [{"other": {"reference": "Patient/2"}}],
        "meta": {"tag": [{"code": "t"}], "profile": ["http://x/p"]},
    },
    {
        "resourceType": "Observation",
        "code": {"coding": [{"code": "a"}]},
        "component": [{"code": {"text": "x"}, "valueString": "s"}, {"code": {"text": "y"}}],
        "hasMember": [{"reference": "Observation/1"}],
        "valueQuantity": {"value": Decimal("1.50"), "unit": "mg"},
    },
    {"resourceType": "Bundle", "type": "document", "entry": [{"resource": {"resourceType": "Composition", "id": "c"}}]},
    {"resourceType": "Questionnaire", "item": [{"code": [{"code": "a"}], "item": [{"code": [{"code": "b"}]}]}]},
)


def compiled(expression: str, resource: dict[str, Any]) -> list[Any]:
    found = routes(expression, resource["resourceType"], DEFINITIONS)
    return [value for route in found for (value,) in finder(route.steps, lambda value: ((value,),))(resource)]


def differences(resource: dict[str, Any]) -> Iterator[str]:
    plain = decode(json.dumps(resource, default=float).encode())
    for param in DEFINITIONS.search[resource["resourceType"]].values():
        if not param.expression or "resolve()" in param.expression:
            continue
        own = re.sub(r"^Resource\.", f"{param.type}.", param.expression)
        # A union in FHIRPath drops what is found twice.
        ours = {json.dumps(value, sort_keys=True, default=float) for value in compiled(param.expression, plain)}
        theirs = {json.dumps(value, sort_keys=True, default=float) for value in evaluator(own)(plain)}
        if not theirs and any(len(compiled(left, plain)) > 1 for left in CAST.findall(own)):
            continue
        if ours != theirs:
            yield f"{param.type}.{param.code} {param.expression}: {ours} is not {theirs}"


@pytest.mark.parametrize("resource", SMALL, ids=lambda resource: str(resource["resourceType"]))
def test_small_resources(resource: dict[str, Any]) -> None:
    assert list(differences(resource)) == []


def test_published_examples(shared: Path) -> None:
    """One example of every type: fhirpathpy takes a millisecond for each expression that is compared."""
    seen: set[str] = set()
    found: list[str] = []
    for path in sorted((shared / "data" / "r4-core-examples").glob("*.json")):
        if path.name.partition("-")[0] in seen or path.stat().st_size > 50_000:
            continue
        resource = decode(path.read_bytes())
        seen.add(resource["resourceType"])
        found += differences(resource)
    assert len(seen) > 100
    assert found == []


# Where the index and fhirpathpy differ for a reason: what fhirpathpy finds has no type, so its type is guessed.
REASONS = {
    ("Bundle", "composition"): "any first resource looks the same to fhirpathpy; ours must be a Composition",
    ("Bundle", "message"): "any first resource looks the same to fhirpathpy; ours must be a MessageHeader",
    ("Consent", "source-reference"): "an Attachment in source[x] looks like a reference without a value",
}


def disagreements(resource: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Where the entries of a resource are not what fhirpathpy finds, by every parameter but composites, whose parts are
    parameters themselves. Systems of tokens are left out: that of a `code` is known from its type only."""
    type = resource["resourceType"]
    for code, param in DEFINITIONS.search[type].items():
        if not param.expression or param.components or param.kind == "special" or code in ("_id", "_lastUpdated"):
            continue
        refers = re.search(r"\.where\(resolve\(\) is (\w+)\)", param.expression)
        own = re.sub(r"^Resource\.", f"{type}.", re.sub(r"\.where\(resolve\(\) is \w+\)", "", param.expression))
        found = evaluated(param.kind, own, BASE)(resource)
        if not found and any(len(compiled(left, resource)) > 1 for left in CAST.findall(own)):
            continue
        codes = aliases(DEFINITIONS, type).get(code, Alias((code,))).codes
        ours = {entry[1:] for entry in INDEX(resource) if entry[0].code in codes and entry[0].kind == param.kind}
        theirs = set(found)
        if refers:
            ours, theirs = ({one for one in some if one[0] == refers[1]} for some in (ours, theirs))
        if param.kind == "token":
            ours, theirs = ({one[1] for one in some} for some in (ours, theirs))
        if ours != theirs:
            yield type, code, f"{ours} is not {theirs}"


def test_the_index_holds_what_fhirpathpy_finds(shared: Path) -> None:
    """All published examples, all parameters; the exceptions are those of REASONS and no others."""
    found: dict[tuple[str, str], str] = {}
    count = 0
    for path in sorted((shared / "data" / "r4-core-examples").glob("*.json")):
        if path.stat().st_size < 200_000:
            count += 1
            found |= {(type, code): text for type, code, text in disagreements(decode(path.read_bytes()))}
    assert count > 390
    assert {key: text for key, text in found.items() if key not in REASONS} == {}
    assert found.keys() == REASONS.keys()


def test_every_published_example_is_indexed(shared: Path) -> None:
    """All properties that routes lead to, found by walking the JSON in another way."""
    count = 0
    for folder in ("r4-core-examples", "genomics-reporting-stu3", "mcode-stu4", "us-core-examples"):
        for path in sorted((shared / "data" / folder).glob("*.json")):
            resource = decode(path.read_bytes())
            entries = INDEX(resource)
            assert len(set(entries)) == len(entries)
            present = {entry[0].code for entry in entries}
            for param in DEFINITIONS.search[resource["resourceType"]].values():
                if param.kind == "token" and param.code in present:
                    found = routes(param.expression, resource["resourceType"], DEFINITIONS)
                    if all(isinstance(step, Key | Refers) for route in found for step in route.steps):
                        assert any(_has_keys(resource, [s.name for s in r.steps if isinstance(s, Key)]) for r in found)
            count += 1
    assert count > 500


def _has_keys(value: Any, keys: list[str]) -> bool:
    if not keys:
        return True
    if isinstance(value, list):
        return any(_has_keys(item, keys) for item in value)
    return isinstance(value, dict) and keys[0] in value and _has_keys(value[keys[0]], keys[1:])
