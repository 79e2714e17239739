"""Whether a resource has the structure that R4 defines for its type. https://hl7.org/fhir/R4/validation.html

Each structure is compiled once into a check: a closure over a table from property names to the checks of their values.
A check returns None for a valid value, so that no path, list or message is made unless something is wrong.
"""

from collections.abc import Callable
from typing import Any

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Definitions, Element, Structure
from fhir_server.fhir.outcome import FhirError, Issue, refuse
from fhir_server.validation import rules
from fhir_server.validation.bindings import bound
from fhir_server.validation.objects import FIRST, ID, SIBLING, Property, Rules, object_check
from fhir_server.validation.primitives import PRIMITIVES
from fhir_server.validation.problem import LIMIT, Check, Found, Problem, Scope, shown
from fhir_server.validation.references import reference

Checks = dict[str, Check]  # by name of the structure


def validator(definitions: Definitions) -> Callable[[Resource], None]:
    """A function that raises FhirError when a resource breaks a structural rule of R4, with every issue found.

    The status is 422, or 400 for a value that is no resource at all.
    """
    checks = _compile(definitions)

    def validate(resource: Resource) -> None:
        if type(resource) is not dict or type(type_ := resource.get("resourceType")) is not str:
            raise refuse(400, "structure", "A resource must be a JSON object with a resourceType.")
        if type_ not in definitions.resources:
            raise refuse(422, "not-supported", f"{shown(type_)} is not a resource type of R4.", "resourceType")
        try:
            found = checks[type_](resource, Scope(resource, 0))
        except RecursionError:
            raise refuse(422, "too-long", f"{type_} is nested too deeply.", type_) from None
        if found:
            raise FhirError(422, [_issue(type_ + problem.place, problem) for problem in found[:LIMIT]])

    return validate


def _issue(place: str, problem: Problem) -> Issue:
    return Issue(problem.code, f"{place} {problem.text}", (place,))


def _compile(definitions: Definitions) -> Checks:
    """The checks of all structures. Tables are filled last, since structures contain each other."""
    tables: dict[str, dict[str, Property]] = {name: {} for name in definitions.structures}
    checks: Checks = {}
    for name, structure in definitions.structures.items():
        marks = _marks(structure)
        check = object_check(tables[name], _rules(structure, marks))
        checks[name] = rules.guarded(check) if name in ("Extension", "Identifier") else check
    # What stands under `_name` may be an id alone where `name` has the value: objects.py sees both.
    beside: dict[str, Property] = {}
    sibling = object_check(beside, _rules(definitions.structures["Element"], {}))
    nested = {  # resources inside resources
        "contained": _resource(checks, definitions.resources, contained=True),
        "resource": _resource(checks, definitions.resources, contained=False),
    }
    for name, structure in definitions.structures.items():
        marks = _marks(structure)
        table = tables[name]
        for element in structure.elements.values():
            check = nested["contained" if element.name == "contained" else "resource"]
            if element.type != "Resource":
                check = _element(element, name, checks, definitions)
            _enter(table, element, marks.get(element.choice or element.name, 0), check, sibling, structure)
        if structure.kind == "resource":
            table["resourceType"] = (_accept, 0, False, ".resourceType")
    beside |= {name: (check, 0, many, place) for name, (check, _, many, place) in tables["Element"].items()}
    return checks


def _marks(structure: Structure) -> dict[str, int]:
    """One bit for each choice and each required element."""
    names = [*structure.choices, *(e.name for e in structure.elements.values() if e.min and not e.choice)]
    return {name: FIRST << number for number, name in enumerate(names)}


def _rules(structure: Structure, marks: dict[str, int]) -> Rules:
    required: dict[int, tuple[str, ...]] = {marks[e.name]: (e.name,) for e in structure.elements.values() if e.min}
    required |= {marks[c.name]: (c.name, *c.members) for c in structure.choices.values() if c.min}
    also = rules.extension if structure.name == "Extension" else None
    if "contained" in structure.elements:
        also = rules.container
    choices = {choice.name: choice.members for choice in structure.choices.values()}
    return Rules(structure.name, required, choices, also)


def _element(element: Element, inside: str, checks: Checks, definitions: Definitions) -> Check:
    """The check of one value of an element that is no resource."""
    if element.max == 0:
        return _forbidden
    if element.structure is None:
        check = PRIMITIVES[element.type]
    else:
        check = checks[element.structure]
        if element.type == "BackboneElement" and f"{inside}.".startswith(f"{element.structure}."):
            check = rules.guarded(check)  # an item of items, a provision of provisions
    if element.type == "Reference":
        check = reference(element.targets, definitions.resources, check)
    return bound(element.binding, element.type, check) if element.binding else check


def _enter(
    table: dict[str, Property], element: Element, mark: int, check: Check, sibling: Check, structure: Structure
) -> None:
    """Put an element into the table, and `_name` beside it when it is a primitive that may have extensions."""
    place = f".{element.choice}.ofType({element.type})" if element.choice else f".{element.name}"
    if element.name == "id" and structure.kind != "resource":
        mark = ID
    table[element.name] = (check, mark, element.many, place)
    # The id of an element, the url of an extension and XHTML are attributes or markup: they cannot be extended.
    plain = element.type == "xhtml" or element.path == "Extension.url"
    if element.structure is None and not plain and (element.name != "id" or structure.kind == "resource"):
        optional = _or_null(sibling) if element.many else sibling
        table[f"_{element.name}"] = (optional, mark | SIBLING, element.many, place)


def _resource(checks: Checks, resources: frozenset[str], contained: bool) -> Check:
    """The check of a resource inside another: `contained`, or one that stands alone in a Bundle or in Parameters."""

    def check(value: Any, scope: Scope) -> Found:
        type_ = value.get("resourceType") if type(value) is dict else None
        if type(type_) is not str or type_ not in resources:
            wanted = "must be a resource: an object whose resourceType is a type of R4"
            return [Problem("structure", f"{wanted}, not {shown(type_ if type_ is not None else value)}.")]
        if not contained:
            return checks[type_](value, Scope(value, scope.depth))
        inner = {
            key: item for key, item in value.items() if key != "contained"
        }  # one issue says that none may be in it
        return [*(rules.contained(value, scope) or ()), *(checks[type_](inner, scope) or ())]

    return rules.guarded(check)


def _or_null(check: Check) -> Check:
    return lambda value, scope: None if value is None else check(value, scope)


def _forbidden(_: Any, __: Scope) -> Found:
    return [Problem("structure", "must not be given here.")]


def _accept(_: Any, __: Scope) -> Found:
    return None
