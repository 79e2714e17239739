"""R4's invariants: rules in FHIRPath on resources and elements. https://hl7.org/fhir/R4/conformance-rules.html#constraints

They are asked for `$validate` only: as functions where they can be (compiled.py), by fhirpathpy where not, which takes
up to a millisecond for each rule and element. What it cannot evaluate is reported as not checked, never as an error.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache, lru_cache
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds
from fhir_server.fhir.definitions import Invariant, load
from fhir_server.fhir.outcome import Issue
from fhir_server.fhir.paths import LOCK
from fhir_server.validation.compiled import answer, beside

# Held already by the structure of what is stored: no need to ask again (validation/rules.py, references.py, xhtml.py).
STRUCTURAL = frozenset({"ele-1", "ext-1", "dom-2", "dom-4", "dom-5", "ref-1", "txt-1", "txt-2"})
CONSENT_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
# Rules whose text in R4 is wrong, with what their authors mean by them.
MEANT: Mapping[str, str] = {
    "que-7": "operator = 'exists' implies (answer is boolean)",  # `is Boolean` is no FHIR type
    **{  # R4 left the system of the codes open: system='something'
        key: f"patient.exists() or scope.coding.where(system='{CONSENT_SCOPE}' and code='{code}').empty()"
        for key, code in (("ppc-2", "patient-privacy"), ("ppc-3", "research"), ("ppc-4", "adr"), ("ppc-5", "treatment"))
    },
}
PATIENCE = 5.0  # seconds for one resource


class Place(NamedTuple):
    """An element with rules: its FHIRPath, its structure, its value, and the resource that it is in."""

    path: str
    structure: str
    value: Any
    resource: Resource


def broken(resource: Resource) -> list[Issue]:
    """What breaks an invariant, by its severity, and which could not be checked (information). The resource must have
    the structure of its type. Runs for up to PATIENCE seconds: call it in a thread, one at a time."""
    whole = deepcopy(resource)  # fhirpathpy annotates what it is given
    quick = not beside(resource)
    deadline = time.monotonic() + PATIENCE
    found: list[Issue] = []
    unchecked: dict[str, str] = {}
    for place in _places(whole["resourceType"], whole, whole, whole["resourceType"]):
        for rule in _rules(place.structure):
            if time.monotonic() > deadline:
                text = f"Not all invariants were checked: they took longer than {PATIENCE:.0f} s."
                return [*found, Issue("too-costly", text, severity="information")]
            holds = _holds(rule, place, whole, quick)
            if holds is None:
                unchecked.setdefault(rule.key, place.path)
            elif not holds:
                text = f"{place.path} breaks {rule.key}: {rule.expression}"
                found.append(Issue("invariant", text, (place.path,), rule.severity))
    for key, path in unchecked.items():
        found.append(Issue("informational", f"The invariant {key} was not checked.", (path,), "information"))
    return found


def _places(structure: str, value: Any, resource: Resource, path: str) -> Iterator[Place]:
    """The element and those inside it, resources inside resources included."""
    yield Place(path, structure, value, resource)
    shape = load().structures[structure]
    for key, inner in value.items():
        element = shape.elements.get(key)
        if element is None or (element.structure is None and element.type != "Resource"):
            continue
        name = f"{element.choice}.ofType({element.type})" if element.choice else key
        for number, item in enumerate(inner if element.many else (inner,)):
            at = f"{path}.{name}" + (f"[{number}]" if element.many else "")
            if element.type == "Resource":
                yield from _places(item["resourceType"], item, item, at)
            else:
                yield from _places(element.structure or "", item, resource, at)


@cache
def _rules(structure: str) -> tuple[Invariant, ...]:
    """The rules on a structure itself: R4 states those of backbone elements on the type that they are in."""
    structures = load().structures
    stated = list(structures[structure.partition(".")[0]].invariants)
    if structures[structure].kind == "resource" and "text" in structures[structure].elements:
        stated += structures["DomainResource"].invariants
    here = (structure, "DomainResource")
    return tuple(rule for rule in stated if rule.path in here and rule.key not in STRUCTURAL)


def _holds(rule: Invariant, place: Place, whole: Resource, quick: bool) -> bool | None:
    """Whether the rule holds; None if that cannot be told."""
    if rule.key in IN_PYTHON:
        return IN_PYTHON[rule.key](place.value)
    expression = MEANT.get(rule.key, rule.expression)
    found = answer(expression, place.structure, place.value, place.resource, whole) if quick else None
    return found if found is not None else evaluate(expression, place, whole)


def evaluate(expression: str, place: Place, whole: Resource) -> bool | None:
    """What a rule says of an element; None if that cannot be told. What is given must not be used for anything else:
    fhirpathpy annotates it."""
    from fhirpathpy.engine.nodes import ResourceNode  # here, as in fhir/paths.py: it costs a third of a second

    with LOCK:  # it keeps state in module globals
        try:
            node = ResourceNode.create_node(place.value, place.structure)  # type: ignore[no-untyped-call]
            variables = {"resource": place.resource, "rootResource": whole}
            found = _compiled(expression)([node], variables)
        except Exception:
            return None
    if len(found) != 1 or not isinstance(found[0], bool):
        return None
    return found[0]


@lru_cache(maxsize=500)  # expressions may be those of profiles that a client wrote
def _compiled(expression: str) -> Callable[..., list[Any]]:
    import fhirpathpy
    from fhirpathpy.models import models

    options = {
        "userInvocationTable": {"hasValue": {"fn": _has_value, "arity": {0: []}}},  # FHIR's own, which it lacks
        "traceFn": lambda *_: None,  # R4's rules trace to standard output
    }
    compiled: Callable[..., list[Any]] = fhirpathpy.compile(expression, models["r4"], options)
    return compiled


def _has_value(nodes: list[Any]) -> bool:
    values = [getattr(node, "data", node) for node in nodes]
    return len(values) == 1 and values[0] is not None and not isinstance(values[0], (dict, list))


def _period(value: dict[str, Any]) -> bool:
    """per-1: by the precision given, 2020 is no later than 2020-05."""
    if "start" not in value or "end" not in value:
        return True
    return bounds(value["start"])[0] < bounds(value["end"])[1]


def _referenced(resource: Resource) -> bool:
    """dom-3, by its intent: each contained resource is referred to from outside it, or refers to its container."""
    contained = resource.get("contained", ())
    if not contained:
        return True
    outside = {key: value for key, value in resource.items() if key != "contained"}
    local = [set(_fragments(one)) for one in contained]
    named = set(_fragments(outside))
    for number, one in enumerate(contained):
        others = named.union(*(local[:number] + local[number + 1 :]))
        if f"#{one.get('id')}" not in others and "#" not in local[number]:
            return False
    return True


def _fragments(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith("#"):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _fragments(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fragments(inner)


IN_PYTHON: Mapping[str, Callable[[dict[str, Any]], bool]] = {"per-1": _period, "dom-3": _referenced}
