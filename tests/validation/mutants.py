"""A valid example made wrong in one place, as its profile tells what would be wrong. https://hl7.org/fhir/R4/conformance-rules.html"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NamedTuple

from fhir_server.fhir.definitions import load
from fhir_server.validation.items import Item, items, root
from fhir_server.validation.library import Library
from fhir_server.validation.profile import Node, Profile
from fhir_server.validation.values import codes

WRONG = {"coding": [{"system": "urn:wrong", "code": "wrong"}]}
SOME = {"CodeableConcept": {"text": "x"}, "string": "x", "boolean": True, "Annotation": {"text": "x"}}


class Mutant(NamedTuple):
    """What was done, the place that must be named, and the resource."""

    kind: str
    place: str
    resource: dict[str, Any]


Change = Callable[[dict[str, Any]], None]


def mutants(resource: dict[str, Any], profile: Profile, library: Library) -> Iterator[Mutant]:
    """All that can be made of one example by one profile."""
    yield from _inside(resource, (), profile.root, profile, library)
    yield from _rules(resource)


def _at(resource: dict[str, Any], steps: tuple[str | int, ...]) -> Any:
    value: Any = resource
    for step in steps:
        value = value[step]
    return value


def _made(kind: str, place: str, resource: dict[str, Any], steps: tuple[str | int, ...], change: Change) -> Mutant:
    copy = deepcopy(resource)
    change(_at(copy, steps))
    return Mutant(kind, place, copy)


def _inside(
    resource: dict[str, Any], steps: tuple[str | int, ...], node: Node, profile: Profile, library: Library
) -> Iterator[Mutant]:
    parent = _item(resource, steps)
    for name, child in profile.inside(node).children.items():
        if name in ("id", "url", "contained", "text", "meta"):
            continue
        where = f"{parent.path}.{name.removesuffix('[x]')}"
        found = items(parent, name)
        keys = sorted({key for item in found for key in [_key(parent, item, name)] if key in parent.inside})
        yield from _cardinality(resource, steps, parent, child, where, keys, len(found))
        for number, item in enumerate(found):
            key = _key(parent, item, name)
            if key not in parent.inside:
                continue
            many = isinstance(parent.inside[key], list)
            at = (*steps, key, number) if many else (*steps, key)
            yield from _value(resource, at, item, child, library)
            if isinstance(item.value, dict) and item.type != "Extension":
                yield from _inside(resource, at, child, profile, library)


def _item(resource: dict[str, Any], steps: tuple[str | int, ...]) -> Item:
    item = root(resource)
    for place, step in enumerate(steps):
        if isinstance(step, str):
            number = steps[place + 1] if place + 1 < len(steps) and isinstance(steps[place + 1], int) else 0
            item = items(item, step)[number] if isinstance(number, int) else item
    return item


def _key(parent: Item, item: Item, name: str) -> str:
    if not name.endswith("[x]"):
        return name
    return name.removesuffix("[x]") + item.type[:1].upper() + item.type[1:]


def _cardinality(
    resource: dict[str, Any],
    steps: tuple[str | int, ...],
    parent: Item,
    child: Node,
    where: str,
    keys: list[str],
    number: int,
) -> Iterator[Mutant]:
    element = load().structures[parent.structure].elements.get(child.name)
    if keys and (child.min or any(slice.min for slice in child.slices.values())):

        def remove(value: Any) -> None:
            for key in keys:
                del value[key]

        if len(parent.inside) > len(keys):
            yield _made("cardinality", where, resource, steps, remove)
    if element is not None and element.many and child.max == 1 and number == 1 and keys:
        yield _made(
            "cardinality", where, resource, steps, lambda value: value[keys[0]].append(deepcopy(value[keys[0]][0]))
        )
    if element is not None and child.max == 0 and not keys and element.type in SOME:
        some: Any = [SOME[element.type]] if element.many else SOME[element.type]
        yield _made("cardinality", where, resource, steps, lambda value: value.update({child.name: some}))


def _value(
    resource: dict[str, Any], at: tuple[str | int, ...], item: Item, node: Node, library: Library
) -> Iterator[Mutant]:
    *outer, last = at

    def replace(new: Any) -> Change:
        def change(value: Any) -> None:
            value[last] = new

        return change

    if (node.fixed is not None or node.pattern is not None) and item.type == "CodeableConcept":
        yield _made("pattern", item.path, resource, tuple(outer), replace(WRONG))
    if node.slices and any(one.min for one in node.slices.values()) and item.type == "CodeableConcept":
        every = tuple(outer[:-1]) if isinstance(last, int) else tuple(outer)
        key = outer[-1] if isinstance(last, int) else last
        place = item.path.partition("[")[0] if item.path.count("[") == 1 else item.path.rpartition("[")[0]
        yield _made("slicing", place, resource, every, lambda value: value.update({key: [WRONG]}))
    if node.types and isinstance(last, str) and node.name.endswith("[x]"):
        allowed = {type.code for type in node.types}
        stem = node.name.removesuffix("[x]")
        parent = _item(resource, tuple(outer))
        for type in ("boolean", "string", "CodeableConcept"):
            key = stem + type[0].upper() + type[1:]
            if type not in allowed and key in load().structures[parent.structure].elements:

                def swap(value: Any, key: str = key, type: str = type) -> None:
                    del value[last]
                    value[key] = SOME[type]

                yield _made("type", f"{parent.path}.{stem}", resource, tuple(outer), swap)
                break
    if item.type == "Reference" and any(type.targets for type in node.types) and "reference" in item.inside:
        targets = [url.rpartition("/")[2] for type in node.types for url in type.targets]
        if "Resource" not in targets:
            yield _made("target", item.path, resource, tuple(outer), replace({"reference": "Basic/wrong"}))
    pairs = codes(item)
    for bind in node.bounds:
        if bind.strength == "required" and pairs and item.type in ("CodeableConcept", "Coding", "code"):
            answers = [library.answers.get((bind.value_set, *pair)) for pair in pairs]
            if True in answers or item.bound:
                wrong = {"CodeableConcept": WRONG, "Coding": WRONG["coding"][0], "code": "wrong"}[item.type]
                yield _made("binding", item.path, resource, tuple(outer), replace(wrong))


def _rules(resource: dict[str, Any]) -> Iterator[Mutant]:
    """R4's own invariants, broken where they can be."""
    type = resource["resourceType"]
    if type == "Observation" and "valueQuantity" in resource:
        yield _made(
            "invariant", "Observation", resource, (), lambda value: value.update({"dataAbsentReason": {"text": "x"}})
        )

        def bare(value: Any) -> None:
            value["valueQuantity"] = {"value": 1, "code": "mg"}

        yield _made("invariant", "Observation.value", resource, (), bare)
    if type == "Condition" and "clinicalStatus" in resource:
        active = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]}
        yield _made("invariant", "Condition", resource, (),
                    lambda value: value.update({"clinicalStatus": active, "abatementString": "x"}))  # fmt: skip
    if type in ("Procedure", "Encounter", "MedicationAdministration"):
        key = {"Procedure": "performedPeriod", "Encounter": "period", "MedicationAdministration": "effectivePeriod"}[
            type
        ]
        if key in resource:
            wrong = {"start": "2030-01-01", "end": "2020-01-01"}
            stem = key.removesuffix("Period") if key != "period" else key
            yield _made("invariant", f"{type}.{stem}", resource, (), lambda value: value.update({key: wrong}))
    if type == "Patient":
        yield _made(
            "invariant", "Patient.contact", resource, (), lambda value: value.update({"contact": [{"gender": "male"}]})
        )
